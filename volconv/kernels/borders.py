"""Fills what a buffer stores around the voxels it was given: zeros, or copies of some of them, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, int64, prange, register, thread_count, types, void
from .scalar import load, store

Array = np.ndarray[Any, Any]
ZERO, LEAVE = -1, -2
"""In place of a source: the voxel becomes zero; or stays as it is."""
_TASKS_A_THREAD = 4


def border_specs(dtype: str, copies: bool = True) -> list[KernelSpec]:
    """Return the kernels `run_fill` may call, for `jit.missing` and a child process; without `copies`, for zeros."""
    return [KernelSpec(f"borders.{name}", dtype) for name in ("zero", "fill")[: 1 + copies]]


def run_fill(
    values: Array, start: int, steps: Sequence[int], box: Sequence[int], channels: int, sources: Sequence[Array]
) -> None:
    """Make every voxel of a box whose source along some axis is not itself.

    Parameters
    ----------
    values : flat array of float32 or float64
    start : int
        Element of voxel (0, 0, 0) of channel 0.
    steps : 4 ints
        Elements from one channel, z, y, x to the next: the voxels of a row, with all their channels or one, lie side
        by side.
    box : 3 ints
        Voxels along z, y, x.
    channels : int
    sources : three int64 arrays, one an axis
        For each place along it the place of the voxel to copy, or `LEAVE`; itself for those given, which lie side by
        side and are the only ones copied. Or `ZERO` for all that are not given, along every axis.
    """
    width = channels if steps[0] == 1 and steps[3] != 1 else 1
    if steps[3] != width:
        raise ValueError(f"voxels of a row {steps[3]} elements apart, expected {width}")
    sizes, tasks = (channels // width, *box, width), _TASKS_A_THREAD * thread_count()
    given = [_bounds(np.flatnonzero(part == np.arange(len(part)))) for part in sources]
    place = (values, start, tuple(steps), sizes)
    if any((part == ZERO).any() for part in sources):
        get_kernel(KernelSpec("borders.zero", values.dtype.name))(*place, (*given[0], *given[1], *given[2]), tasks)
    else:
        table = np.concatenate(sources).astype(np.int64)
        get_kernel(KernelSpec("borders.fill", values.dtype.name))(*place, table, *given[2], tasks)


def _bounds(given: Array) -> tuple[int, int]:
    return (int(given[0]), int(given[-1]) + 1) if len(given) else (0, 0)


@register("borders.zero", parallel=True)
def make_zero(real: Any) -> tuple[Any, Any]:
    """Make the kernel for zeros: no table is read beside the stores, which would wait for each other's lines."""

    def zero(values: Any, start: Any, steps: Any, sizes: Any, given: Any, tasks: Any) -> None:
        planes, rows, width = sizes[1], sizes[2], sizes[4]
        low, high, length = given[4] * width, given[5] * width, sizes[3] * width
        units = sizes[0] * planes
        for task in prange(tasks):
            for unit in range(units * task // tasks, units * (task + 1) // tasks):
                z = unit % planes
                row = start + unit // planes * steps[0] + z * steps[1]
                for y in range(rows):
                    outside = z < given[0] or z >= given[1] or y < given[2] or y >= given[3]
                    for i in range(length if outside else low):
                        store(values, row + i, real(0))
                    for i in range(high, length):
                        store(values, row + i, real(0))
                    row += steps[2]

    five, four, six = (types.UniTuple(int64, n) for n in (5, 4, 6))
    return zero, void(flat(real, writable=True), int64, four, five, six, int64)


@register("borders.fill", parallel=True)
def make_fill(real: Any) -> tuple[Any, Any]:
    """Make the kernel; rows of the given voxels are only read between `low` and `high`, where nothing is written."""

    def fill(values: Any, start: Any, steps: Any, sizes: Any, table: Any, low: Any, high: Any, tasks: Any) -> None:
        planes, rows, width = sizes[1], sizes[2], sizes[4]
        units = sizes[0] * planes * rows
        for task in prange(tasks):
            for unit in range(units * task // tasks, units * (task + 1) // tasks):
                y, z, c = unit % rows, unit // rows % planes, unit // (rows * planes)
                from_z, from_y = table[z], table[planes + y]
                if from_z == LEAVE or from_y == LEAVE:
                    continue
                target = start + c * steps[0] + z * steps[1] + y * steps[2]
                source = start + c * steps[0] + from_z * steps[1] + from_y * steps[2]
                if source != target:
                    for i in range(low * width, high * width):
                        store(values, target + i, load(values, source + i))
                for n in range(low + sizes[3] - high):
                    x = n if n < low else n - low + high
                    from_x = table[planes + rows + x]
                    if from_x != LEAVE:
                        for k in range(width):
                            store(values, target + x * width + k, load(values, source + from_x * width + k))

    five, four = (types.UniTuple(int64, n) for n in (5, 4))
    return fill, void(flat(real, writable=True), int64, four, five, flat(int64), int64, int64, int64)

"""Copies of a volume into a larger one: places without a source take a constant, others a copy of one by their tables.

What a place holds is decided along each axis by itself, so four tables say it all: no border is stored anywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, int64, prange, register, thread_count, types, void
from .scalar import load, store

Array = np.ndarray[Any, Any]
NOTHING = -1
"""In place of a source: the constant stands there."""
_TASKS_A_THREAD = 4
_SHORT = 64  # rows of fewer places are joined where they lie end to end, such as those of channels


def pad_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `run_pad` may call, for `jit.missing` and a child process."""
    return [KernelSpec("pad.gather", dtype)]


def run_pad(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    sources: Sequence[Array],
    value: float,
) -> None:
    """Fill every place (c, z, y, x) of a volume.

    ``out[out_start + c*oc + z*oz + y*oy + x*ox]`` becomes ``x[x_start + C[c]*xc + Z[z]*xz + Y[y]*xy + X[x]*xx]``, or
    `value` where one of the tables says `NOTHING`. Input and output must not overlap.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64
    x_start, out_start : int
        Element of voxel (0, 0, 0) of channel 0.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next.
    sources : four int64 arrays
        C, Z, Y, X: for each place of the output along an axis that of the input.
    value : float
        What stands where there is no source.
    """
    if min(map(len, sources)) == 0:
        return
    tables = [np.where(s == NOTHING, NOTHING, s * step) for s, step in zip(sources, x_steps, strict=True)]
    # a single place is the same all along an axis of any step
    order = sorted(range(4), key=lambda n: (len(tables[n]) > 1, -out_steps[n]))
    axes = [(out_steps[n], tables[n].astype(np.int64)) for n in order]
    (outer_step, outer), (step, inner) = axes[2:]
    if len(inner) < _SHORT and outer_step == len(inner) * step:
        both = np.where((outer[:, None] < 0) | (inner < 0), NOTHING, outer[:, None] + inner).ravel()
        axes = [(0, np.zeros(1, np.int64)), *axes[:2], (step, both)]
    kernel = get_kernel(KernelSpec("pad.gather", out.dtype.name))
    steps, rows = tuple(step for step, _ in axes), [table for _, table in axes]
    tasks = min(prod(map(len, rows[:3])), _TASKS_A_THREAD * thread_count())
    kernel(x, x_start, *rows, out, out_start, steps, *_longest_run(rows[3]), out.dtype.type(value), tasks)


def _longest_run(table: Array) -> tuple[int, int]:
    """Return the longest stretch of `table` that rises by 1 from place to place, and begins at a source."""
    breaks = np.flatnonzero((np.diff(table) != 1) | (table[:-1] < 0)) + 1
    edges = np.array([0, *breaks, len(table)])
    longest = int(np.argmax(np.diff(edges)))
    low, high = int(edges[longest]), int(edges[longest + 1])
    return (low, high) if table[low] >= 0 else (low, low)


@register("pad.gather", parallel=True)
def make_gather(real: Any) -> tuple[Any, Any]:
    """Make the kernel; rows along the last table run in parallel, `low` to `high` of each a plain copy."""

    def gather(
        x: Any,
        x_start: Any,
        first: Any,
        second: Any,
        third: Any,
        along: Any,
        out: Any,
        out_start: Any,
        steps: Any,
        low: Any,
        high: Any,
        value: Any,
        tasks: Any,
    ) -> None:
        middle, inner, length = len(second), len(third), len(along)
        units, step = len(first) * middle * inner, steps[3]
        for task in prange(tasks):
            for unit in range(units * task // tasks, units * (task + 1) // tasks):
                k, j, i = unit % inner, unit // inner % middle, unit // (inner * middle)
                target = out_start + i * steps[0] + j * steps[1] + k * steps[2]
                a, b, c = load(first, i), load(second, j), load(third, k)
                if a < 0 or b < 0 or c < 0:
                    for n in range(length):
                        store(out, target + n * step, value)
                    continue
                source = x_start + a + b + c
                for part in range(2):
                    begin, end = (0, low) if part == 0 else (high, length)
                    for n in range(begin, end):
                        place = load(along, n)
                        store(out, target + n * step, value if place < 0 else load(x, source + place))
                if high > low:
                    source += load(along, low) - low
                    if step == 1:
                        for n in range(low, high):
                            store(out, target + n, load(x, source + n))
                    else:
                        for n in range(low, high):
                            store(out, target + n * step, load(x, source + n))

    table, four = flat(int64), types.UniTuple(int64, 4)
    written = flat(real, writable=True)
    return gather, void(
        *(flat(real), int64, table, table, table, table, written, int64, four, int64, int64, real, int64)
    )

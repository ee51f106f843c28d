"""Softmax and its logarithm over channels: sums in channel order, the largest value taken off first.

    m = max over c of x_c,  s = Σ exp(x_c - m) for c = 0, 1, …,  y_c = exp(x_c - m)/s  or  (x_c - m) - log(s)

A voxel one of whose channels is NaN or +inf, or all of which are -inf, becomes NaN in every channel, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void
from .local_row import make_local_row
from .logarithm import make_log
from .scalar import load, make_elementary, store
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)
_SEGMENT = 256  # voxels: with 100 channels, what is read and written stays in a second-level cache
_TASKS = 64


def softmax_specs(dtype: str, *, log: bool) -> list[KernelSpec]:
    """Return the kernels `run_softmax` may call, for `jit.missing` and a child process."""
    return [KernelSpec(f"softmax.{name}", dtype, (int(log),)) for name in ("rows", "voxels")]


def run_softmax(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
    *,
    log: bool = False,
) -> None:
    """Compute the softmax over `channels` channels, or its logarithm, at every voxel (z, y, x) of a box.

    Input and output must not overlap.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64
    x_start, out_start : int
        Element of voxel (0, 0, 0) of channel 0.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next.
    box : 3 ints
        Voxels along z, y, x.
    channels : int
    log : bool
    """
    if min(*box, channels) <= 0:
        return
    walk = make_walk(x_steps, out_steps, box, 1, by_channel=False)
    name = "voxels" if x_steps[0] == out_steps[0] == 1 else "rows"
    units = int(np.prod(walk.sizes[:4])) * -(-walk.sizes[4] // _SEGMENT)
    kernel = get_kernel(KernelSpec(f"softmax.{name}", out.dtype.name, (int(log),)))
    places = (x, x_start, walk.x_steps, out, out_start, walk.out_steps, walk.sizes)
    kernel(*places, _SEGMENT, min(_TASKS, units), x_steps[0], out_steps[0], channels)


def _make_finish(real: Any, log: bool) -> tuple[Any, Any]:
    """Return device functions: what a sum is kept as, and a value's result from (value, largest, kept sum)."""
    number = np.float32 if real.bitwidth == 32 else np.float64
    nan = number(np.nan)
    exp, logarithm = make_elementary(real).exp, make_log(real)

    @inlined
    def keep_log(s: Any) -> Any:
        return logarithm(s) if s == s else s

    @inlined
    def finish_log(v: Any, m: Any, s: Any) -> Any:
        return (v - m) - s if s == s else nan

    @inlined
    def keep_sum(s: Any) -> Any:
        return s

    @inlined
    def finish_sum(v: Any, m: Any, s: Any) -> Any:
        return exp(v - m) / s if s == s else nan

    return (keep_log, finish_log) if log else (keep_sum, finish_sum)


@register("softmax.rows", parallel=True)
def make_rows(real: Any, log: int) -> tuple[Any, Any]:
    """Make the kernel whose rows run over voxels; segments of rows run in parallel, channel after channel."""
    exp = make_elementary(real).exp
    keep, finish = _make_finish(real, bool(log))
    largest_row, sum_row = (make_local_row(real, _SEGMENT) for _ in range(2))

    def rows(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        segment: Any,
        tasks: Any,
        x_channel: Any,
        out_channel: Any,
        channels: Any,
    ) -> None:
        segments = (sizes[4] + segment - 1) // segment
        units = sizes[0] * sizes[1] * sizes[2] * sizes[3] * segments
        step = x_steps[4]
        for task in prange(tasks):
            largest, total = largest_row(), sum_row()
            place = find_place(units * task // tasks, sizes, segments)
            for _ in range(units * task // tasks, units * (task + 1) // tasks):
                first = place[4] * segment
                count = min(segment, sizes[4] - first)
                source = x_start + offset_of(place, x_steps) + first * step
                target = out_start + offset_of(place, out_steps) + first
                for i in range(count):
                    largest[i] = load(x, source + i * step)
                    total[i] = real(0)
                for c in range(1, channels):
                    for i in range(count):
                        v = load(x, source + c * x_channel + i * step)
                        largest[i] = v if v > largest[i] else largest[i]
                for c in range(channels):
                    for i in range(count):
                        total[i] += exp(load(x, source + c * x_channel + i * step) - largest[i])
                for i in range(count):
                    total[i] = keep(total[i])
                for c in range(channels):
                    for i in range(count):
                        v = load(x, source + c * x_channel + i * step)
                        store(out, target + c * out_channel + i, finish(v, largest[i], total[i]))
                place = next_place(place, sizes, segments)

    return rows, _signature(real)


@register("softmax.voxels", parallel=True)
def make_voxels(real: Any, log: int) -> tuple[Any, Any]:
    """Make the kernel for channels that lie side by side in both arrays, a voxel at a time."""
    exp = make_elementary(real).exp
    keep, finish = _make_finish(real, bool(log))

    def voxels(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        segment: Any,
        tasks: Any,
        _x_channel: Any,
        _out_channel: Any,
        channels: Any,
    ) -> None:
        segments = (sizes[4] + segment - 1) // segment
        units = sizes[0] * sizes[1] * sizes[2] * sizes[3] * segments
        for task in prange(tasks):
            place = find_place(units * task // tasks, sizes, segments)
            for _ in range(units * task // tasks, units * (task + 1) // tasks):
                first = place[4] * segment
                for i in range(first, min(first + segment, sizes[4])):
                    source = x_start + offset_of(place, x_steps) + i * x_steps[4]
                    target = out_start + offset_of(place, out_steps) + i
                    largest = load(x, source)
                    for c in range(1, channels):
                        v = load(x, source + c)
                        largest = v if v > largest else largest
                    for c in range(channels):  # a loop apart: the sum's order keeps it from becoming vectors
                        store(out, target + c, exp(load(x, source + c) - largest))
                    total = real(0)
                    for c in range(channels):
                        total += load(out, target + c)
                    total = keep(total)
                    for c in range(channels):
                        store(out, target + c, finish(load(x, source + c), largest, total))
                place = next_place(place, sizes, segments)

    return voxels, _signature(real)


def _signature(real: Any) -> Any:
    steps = (int64, _FIVE)
    return void(flat(real), *steps, flat(real, writable=True), *steps, _FIVE, *[int64] * 5)

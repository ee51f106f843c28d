"""Which channel is the largest: one number a voxel.

The first, or the last, of equal channels (-0 and 0 are equal); NaN counts as larger than anything, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from .jit import KernelSpec, flat, get_kernel, int64, intrinsic, prange, register, types, void
from .local_row import make_local_row
from .scalar import load, store
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)
_SEGMENT = 512  # voxels: two rows of this length stay in the first-level cache, with the channel that is read
_TASKS = 64


def argmax_specs(dtype: str, *, last: bool) -> list[KernelSpec]:
    """Return the kernels `run_argmax` may call, for `jit.missing` and a child process."""
    return [KernelSpec(f"argmax.{name}", dtype, (int(last),)) for name in ("rows", "voxels")]


def run_argmax(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
    *,
    last: bool = False,
) -> None:
    """Write the number of the largest of `channels` channels at every voxel (z, y, x) of a box.

    Input and output must not overlap.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64
    x_start, out_start : int
        Element of voxel (0, 0, 0) of channel 0.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next; the output's first is not used.
    box : 3 ints
        Voxels along z, y, x.
    channels : int
        At most 2^24, so that float32 holds their numbers.
    last : bool
        Whether the last of equal channels counts, not the first.
    """
    if min(*box, channels) <= 0:
        return
    walk = make_walk(x_steps, out_steps, box, 1, by_channel=False)
    name = "voxels" if x_steps[0] == 1 and channels > 1 else "rows"
    units = int(np.prod(walk.sizes[:4])) * -(-walk.sizes[4] // _SEGMENT)
    kernel = get_kernel(KernelSpec(f"argmax.{name}", out.dtype.name, (int(last),)))
    places = (x, x_start, walk.x_steps, out, out_start, walk.out_steps, walk.sizes)
    kernel(*places, _SEGMENT, min(_TASKS, units), x_steps[0], channels)


@intrinsic
def rank_of(_context, x):  # type: ignore[no-untyped-def]
    """Return an integer that orders as x does: equal for -0 and 0, largest for NaN."""

    def build(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = signature.return_type.bitwidth
        whole = ir.IntType(bits)
        value = builder.fadd(args[0], ir.Constant(args[0].type, 0.0))  # of -0 makes 0
        pattern = builder.bitcast(value, whole)
        # below 0 larger patterns mean smaller numbers: all bits but the sign are turned over
        flips = builder.lshr(builder.ashr(pattern, whole(bits - 1)), whole(1))
        ordered = builder.xor(pattern, flips)
        is_nan = builder.fcmp_unordered("uno", args[0], args[0])
        return builder.select(is_nan, whole((1 << (bits - 1)) - 1), ordered)

    return (types.int32 if x.bitwidth == 32 else types.int64)(x), build


@register("argmax.rows", parallel=True)
def make_rows(real: Any, last: int) -> tuple[Any, Any]:
    """Make the kernel whose rows run over voxels; segments of rows run in parallel, channel after channel."""
    whole = types.int32 if real.bitwidth == 32 else types.int64
    rank_row, number_row = make_local_row(whole, _SEGMENT), make_local_row(whole, _SEGMENT)

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
        channels: Any,
    ) -> None:
        segments = (sizes[4] + segment - 1) // segment
        units = sizes[0] * sizes[1] * sizes[2] * sizes[3] * segments
        step = x_steps[4]
        for task in prange(tasks):
            largest, number = rank_row(), number_row()
            place = find_place(units * task // tasks, sizes, segments)
            for _ in range(units * task // tasks, units * (task + 1) // tasks):
                first = place[4] * segment
                count = min(segment, sizes[4] - first)
                source = x_start + offset_of(place, x_steps) + first * step
                target = out_start + offset_of(place, out_steps) + first
                for i in range(count):
                    largest[i] = rank_of(load(x, source + i * step))
                    number[i] = 0
                for c in range(1, channels):
                    here = whole(c)
                    for i in range(count):
                        rank = rank_of(load(x, source + c * x_channel + i * step))
                        wins = rank >= largest[i] if last else rank > largest[i]
                        largest[i] = rank if wins else largest[i]
                        number[i] = here if wins else number[i]
                for i in range(count):
                    store(out, target + i, real(number[i]))
                place = next_place(place, sizes, segments)

    return rows, _signature(real)


@register("argmax.voxels", parallel=True)
def make_voxels(real: Any, last: int) -> tuple[Any, Any]:
    """Make the kernel for channels that lie side by side: the largest rank of a voxel, then who has it.

    Both are reductions of integers, which become vectors in any order.
    """
    whole = types.int32 if real.bitwidth == 32 else types.int64

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
                    largest = rank_of(load(x, source))
                    for c in range(1, channels):
                        largest = max(largest, rank_of(load(x, source + c)))
                    number = whole(-1) if last else whole(channels)
                    for c in range(channels):
                        has = rank_of(load(x, source + c)) == largest
                        if last:
                            number = max(number, whole(c) if has else whole(-1))
                        else:
                            number = min(number, whole(c) if has else whole(channels))
                    store(out, out_start + offset_of(place, out_steps) + i, real(number))
                place = next_place(place, sizes, segments)

    return voxels, _signature(real)


def _signature(real: Any) -> Any:
    steps = (int64, _FIVE)
    return void(flat(real), *steps, flat(real, writable=True), *steps, _FIVE, *[int64] * 4)

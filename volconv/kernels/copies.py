"""Copies of a box of voxels from any layout to any other, channels first to last and back among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, int64, prange, register, types, void
from .scalar import load, store
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)
# Where neighbours in one array lie far apart in the other, squares of this edge are copied, so that every cache line
# fetched is used up while it is there: 16 float32 are one line.
_EDGE = 32


def copy_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `run_copy` may call, for `jit.missing` and a child process."""
    return [KernelSpec("copies.rows", dtype), KernelSpec("copies.squares", dtype, (_EDGE,))]


def run_copy(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
) -> None:
    """Copy every voxel (z, y, x) of a box, for every channel c < `channels`.

    ``out[out_start + c*oc + z*oz + y*oy + x*ox]`` becomes ``x[x_start + c*xc + z*xz + y*xy + x*xx]``. Input and output
    must not overlap.

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
        Channels to copy.
    """
    if min(*box, channels) <= 0:
        return
    walk = make_walk(x_steps, out_steps, box, channels, by_channel=False)
    *outer, inner = walk.axes
    across = min(outer, key=lambda axis: axis.x_step if axis.size > 1 else inner.x_step)
    dtype = out.dtype.name
    if across.size == 1 or across.x_step != 1 or inner.x_step == 1:
        kernel = get_kernel(KernelSpec("copies.rows", dtype))
        places = (x, x_start, walk.x_steps, out, out_start, walk.out_steps, walk.sizes)
        kernel(*places, walk.segment, walk.tasks)
        return
    outer.remove(across)
    axes = (*outer, across, inner)
    sizes, x_by, out_by = (tuple(getattr(a, name) for a in axes) for name in ("size", "x_step", "out_step"))
    kernel = get_kernel(KernelSpec("copies.squares", dtype, (_EDGE,)))
    kernel(x, x_start, x_by, out, out_start, out_by, sizes)


@register("copies.rows", parallel=True)
def make_rows(real: Any) -> tuple[Any, Any]:
    """Make the kernel for rows that lie alike in both arrays; segments of rows run in parallel."""

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
    ) -> None:
        segments = (sizes[4] + segment - 1) // segment
        units = sizes[0] * sizes[1] * sizes[2] * sizes[3] * segments
        for task in prange(tasks):
            place = find_place(units * task // tasks, sizes, segments)
            for _ in range(units * task // tasks, units * (task + 1) // tasks):
                first = place[4] * segment
                source = x_start + offset_of(place, x_steps) + first * x_steps[4]
                target = out_start + offset_of(place, out_steps) + first
                for i in range(min(segment, sizes[4] - first)):
                    store(out, target + i, load(x, source + i * x_steps[4]))
                place = next_place(place, sizes, segments)

    read, written = flat(real), flat(real, writable=True)
    return rows, void(read, int64, _FIVE, written, int64, _FIVE, _FIVE, int64, int64)


@register("copies.squares", parallel=True)
def make_squares(real: Any, edge: int) -> tuple[Any, Any]:
    """Make the kernel for axis 3 contiguous in `x` and axis 4 in `out`; runs of `edge` rows are taken in parallel.

    Within a run of rows, squares of `edge` by `edge` elements follow one another along axis 4.
    """

    def squares(x: Any, x_start: Any, x_steps: Any, out: Any, out_start: Any, out_steps: Any, sizes: Any) -> None:
        runs = (sizes[3] + edge - 1) // edge
        by_run = (sizes[0], sizes[1], sizes[2], runs, 1)
        for unit in prange(sizes[0] * sizes[1] * sizes[2] * runs):
            i0, i1, i2, run, _ = find_place(unit, by_run, 1)
            place = (i0, i1, i2, run * edge)
            source, target = x_start + offset_of(place, x_steps), out_start + offset_of(place, out_steps)
            rows = min(edge, sizes[3] - run * edge)
            for first in range(0, sizes[4], edge):
                stop = min(first + edge, sizes[4])
                # The wider steps in the outer loop: lines a power of two apart displace each other.
                if x_steps[4] > out_steps[3]:
                    for i in range(first, stop):
                        for j in range(rows):
                            v = load(x, source + j + i * x_steps[4])
                            store(out, target + j * out_steps[3] + i, v)
                else:
                    for j in range(rows):
                        for i in range(first, stop):
                            v = load(x, source + j + i * x_steps[4])
                            store(out, target + j * out_steps[3] + i, v)

    read, written = flat(real), flat(real, writable=True)
    return squares, void(read, int64, _FIVE, written, int64, _FIVE, _FIVE)

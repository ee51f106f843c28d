"""Copies of a box of voxels from any layout to any other, channels first to last and back among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .blocks import Block
from .catalog import vector_bits
from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void
from .scalar import load, store
from .simd import advance, load_rows, pointer, prefetch_far, store_rows, transpose_rows
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)
# Where neighbours in one array lie far apart in the other, bands are copied: narrow across the far places, of which no
# more than these are read or written in turn, so that processors follow each and lines fetched in pairs are used up.
_ACROSS, _ALONG = 32, 256
_AHEAD = 128  # elements from what is read to what is asked for


def copy_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `run_copy` may call, for `jit.missing` and a child process."""
    return [KernelSpec("copies.rows", dtype), _squares_spec(dtype)]


def _squares_spec(dtype: str) -> KernelSpec:
    return KernelSpec("copies.squares", dtype, (vector_bits() // (8 * np.dtype(dtype).itemsize), _AHEAD))


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
    band = (_ALONG, _ACROSS) if inner.x_step > across.out_step else (_ACROSS, _ALONG)
    get_kernel(_squares_spec(dtype))(x, x_start, x_by, out, out_start, out_by, sizes, band)


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
def make_squares(real: Any, lanes: int, ahead: int) -> tuple[Any, Any]:
    """Make the kernel for axis 3 contiguous in `x` and axis 4 in `out`; bands of these two run in parallel.

    Squares of `lanes` by `lanes` elements are transposed in registers, and what lies `ahead` elements further is asked
    for; the rest of a band is copied one by one.
    """
    move_squares = _make_move_squares(Block(real, lanes, lanes, 1), ahead)

    def squares(
        x: Any, x_start: Any, x_steps: Any, out: Any, out_start: Any, out_steps: Any, sizes: Any, band: Any
    ) -> None:
        cuts = ((sizes[3] + band[0] - 1) // band[0], (sizes[4] + band[1] - 1) // band[1])
        bands = (sizes[0], sizes[1], sizes[2], cuts[0], cuts[1])
        for unit in prange(sizes[0] * sizes[1] * sizes[2] * cuts[0] * cuts[1]):
            i0, i1, i2, run, part = find_place(unit, bands, cuts[1])
            place, first = (i0, i1, i2, run * band[0]), part * band[1]
            source = x_start + offset_of(place, x_steps) + first * x_steps[4]
            target = out_start + offset_of(place, out_steps) + first
            rows, columns = min(band[0], sizes[3] - place[3]), min(band[1], sizes[4] - first)
            whole_rows, whole_columns = rows // lanes * lanes, columns // lanes * lanes
            steps = (x_steps[4], out_steps[3])
            move_squares(pointer(x, source), pointer(out, target), steps, whole_rows, whole_columns)
            move_values(x, source, out, target, steps, (0, rows), (whole_columns, columns))
            move_values(x, source, out, target, steps, (whole_rows, rows), (0, whole_columns))

    read, written, two = flat(real), flat(real, writable=True), types.UniTuple(int64, 2)
    return squares, void(read, int64, _FIVE, written, int64, _FIVE, _FIVE, two)


def _make_move_squares(kind: Block, ahead: int) -> Any:
    lanes = kind.lanes

    @inlined
    def move_square(source: Any, target: Any, steps: Any) -> None:
        for r in range(lanes):
            prefetch_far(advance(source, r * steps[0] + ahead))
        store_rows(transpose_rows(load_rows(kind, source, steps[0])), target, steps[1])

    @inlined
    def move_squares(source: Any, target: Any, steps: Any, rows: Any, columns: Any) -> None:
        """Copy whole squares, across the wider steps first."""
        if steps[0] > steps[1]:
            for j in range(0, rows, lanes):
                for i in range(0, columns, lanes):
                    move_square(advance(source, i * steps[0] + j), advance(target, j * steps[1] + i), steps)
        else:
            for i in range(0, columns, lanes):
                for j in range(0, rows, lanes):
                    move_square(advance(source, i * steps[0] + j), advance(target, j * steps[1] + i), steps)

    return move_squares


@inlined
def move_values(x: Any, source: Any, out: Any, target: Any, steps: Any, rows: Any, columns: Any) -> None:
    """Copy rows and columns from the first to before the second of each pair, one value after the other.

    The wider steps are taken in the outer loop: lines a power of two apart displace each other.
    """
    if steps[0] > steps[1]:
        for i in range(columns[0], columns[1]):
            for j in range(rows[0], rows[1]):
                store(out, target + j * steps[1] + i, load(x, source + j + i * steps[0]))
    else:
        for j in range(rows[0], rows[1]):
            for i in range(columns[0], columns[1]):
                store(out, target + j * steps[1] + i, load(x, source + j + i * steps[0]))

"""Other numbers of voxels along each axis, in either layout: the nearest voxel, or linearly between two.

Linear values are made axis after axis, D inside H inside W, of the weights given, so every layout, vector width and box
gives the same bits:

    v[j] = (1 - sd)·(x[d0, h0, j]·(1 - sh) + x[d0, h1, j]·sh) + sd·(the same of d1),  out = v[j0]·(1 - sw) + v[j1]·sw

Where a share is 0, the other voxel does not take part, not even as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .blocks import Block
from .catalog import vector_bits
from .conv_finish import rename
from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void
from .pool_blocks import load_steps, put
from .resample_blocks import gather, mix_vectors
from .scalar import fma, load, store
from .simd import pointer

Array = np.ndarray[Any, Any]
_TASKS = 64  # enough for threads to even out


class Taken(NamedTuple):
    """One axis of the outputs of a box.

    Attributes
    ----------
    low, high : int64 arrays
        Voxels of the input, which rise from output to output; equal where `share` is 0.
    share : float64 array
        Of `high`.
    """

    low: Array
    high: Array
    share: Array


def resample_specs(dtype: str, linear: bool) -> list[KernelSpec]:
    """Return the kernels that `run_nearest`, or `run_linear`, may call."""
    return [_spec("linear" if linear else "nearest", dtype)]


def _spec(name: str, dtype: str) -> KernelSpec:
    return KernelSpec(f"resample.{name}", dtype, (vector_bits() // (8 * np.dtype(dtype).itemsize),))


def run_nearest(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
    places: Sequence[Array],
) -> None:
    """Copy to every output (z, y, x) of a box, for every channel c < `channels`, the voxel at its places.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64; they must not overlap
    x_start : int
        Element of voxel (0, 0, 0) of channel 0 of the volume, which need not be in `x`.
    out_start : int
        Element of the box's first output.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next. Outputs along x, or else the channels of both, lie side by side.
    box : 3 ints
        Outputs along z, y, x.
    channels : int
    places : three int64 arrays
        The voxel of each output along z, y, x.
    """
    if min(*box, channels) <= 0:
        return
    width = _width(x_steps, out_steps, box, channels)
    along_x = places[2]
    twice = _first_pair(along_x, along_x) if width == x_steps[3] == 1 else (0, 0)
    table = np.concatenate([part * step for part, step in zip(places, x_steps[1:], strict=True)])
    sizes = (channels // width, *box, width)
    get_kernel(_spec("nearest", out.dtype.name))(
        x, x_start, x_steps[0], out, out_start, tuple(out_steps), sizes, table, twice
    )


def run_linear(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
    axes: Sequence[Taken],
    scratch: Array,
    room: int,
) -> None:
    """Compute every output (z, y, x) of a box, for every channel c < `channels`.

    Parameters
    ----------
    x, x_start, x_steps, out, out_start, out_steps, box, channels
        As for `run_nearest`.
    axes : three `Taken`
        Along z, y, x.
    scratch : flat array of the dtype
        `room` elements for each task that runs at a time.
    room : int
        At least twice `channels`.
    """
    if min(*box, channels) <= 0:
        return
    width = _width(x_steps, out_steps, box, channels)
    low, high, share = axes[2]
    cuts = [0]
    while cuts[-1] < len(low):
        reach = int(np.searchsorted(high, low[cuts[-1]] + room // width))
        cuts.append(min(len(low), max(cuts[-1] + 1, reach)))
    dtype = out.dtype
    places = np.concatenate([part for axis in axes for part in axis[:2]])
    weights = np.concatenate([part for axis in axes for part in (1.0 - axis.share, axis.share)]).astype(dtype)
    pair = _first_pair(low, high, share) if width == 1 and len(cuts) == 2 else (0, 0)
    sizes = (channels // width, *box, width)
    get_kernel(_spec("linear", dtype.name))(
        *(x, x_start, tuple(x_steps), out, out_start, tuple(out_steps), sizes, places, weights),
        *(np.array(cuts, np.int64), pair, scratch, room),
    )


def _width(x_steps: Sequence[int], out_steps: Sequence[int], box: Sequence[int], channels: int) -> int:
    """Return how many channels lie side by side in both arrays: all, or one."""
    if x_steps[0] == out_steps[0] == 1 != out_steps[3]:
        return channels
    if out_steps[3] != 1 and box[2] > 1:
        raise ValueError(f"outputs along x {out_steps[3]} elements apart, expected 1, or channels side by side")
    return 1


def _first_pair(low: Array, high: Array, share: Array | None = None) -> tuple[int, int]:
    """Return the first output of a run of pairs, each of the same voxels and the next one's of the next, and the pairs.

    All first ones have the same share, and so have all second ones.
    """
    both = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    same = np.flatnonzero(both if share is None else both & (high[1:] > low[1:]))
    if not len(same):
        return (0, 0)
    first = int(same[0])
    pairs = (len(low) - first) // 2
    runs = [low, high] if share is None else [low, high, share]
    step = np.arange(pairs)
    good = np.ones(pairs, bool)
    for part in runs:
        grid = part[first : first + 2 * pairs].reshape(pairs, 2)
        good &= (grid == grid[0] + (0 if part is share else step[:, None])).all(axis=1)
    count = pairs if good.all() else int(np.argmin(good))
    return (first, count) if count > 1 else (0, 0)


@register("resample.nearest", parallel=True)
def make_nearest(real: Any, lanes: int) -> tuple[Any, Any]:
    """Make the kernel; rows run in parallel. Pairs of outputs of one voxel are stored by whole vectors."""
    kind = Block(real, lanes, 1, 1)

    def nearest(
        x: Any,
        x_start: Any,
        x_channel: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        table: Any,
        twice: Any,
    ) -> None:
        rows, width = sizes[0] * sizes[1] * sizes[2], sizes[4]
        along = sizes[1] + sizes[2]
        begin, pairs = twice
        tasks = min(_TASKS, rows)
        for task in prange(tasks):
            for unit in range(rows * task // tasks, rows * (task + 1) // tasks):
                y, rest = unit % sizes[2], unit // sizes[2]
                z, c = rest % sizes[1], rest // sizes[1]
                row = x_start + c * x_channel + load(table, z) + load(table, sizes[1] + y)
                target = out_start + c * out_steps[0] + z * out_steps[1] + y * out_steps[2]
                if width > 1:
                    for i in range(sizes[3]):
                        source = row + load(table, along + i)
                        for e in range(width):
                            store(out, target + i * out_steps[3] + e, load(x, source + e))
                    continue
                source, first = row + load(table, along + begin), target + begin
                for j in range(pairs):
                    value = load(x, source + j)
                    store(out, first + 2 * j, value)
                    store(out, first + 2 * j + 1, value)
                vectors = sizes[3] // lanes if pairs == 0 else 0
                for n in range(vectors):
                    found = gather(kind, pointer(x, row), table, along + n * lanes)
                    put(found, pointer(out, target + n * lanes))
                for n in range(vectors * lanes, sizes[3] - 2 * pairs):
                    i = n if n < begin else n + 2 * pairs
                    store(out, target + i, load(x, row + load(table, along + i)))

    read, written, four = flat(real), flat(real, writable=True), types.UniTuple(int64, 4)
    five, two = types.UniTuple(int64, 5), types.UniTuple(int64, 2)
    return nearest, void(read, int64, int64, written, int64, four, five, flat(int64), two)


@inlined
def mix(near: Any, far: Any, weight: Any, share: Any) -> Any:
    """Return near * weight + far * share, or `near` alone where the share is 0."""
    return near if share == 0 else fma(far, share, near * weight)


@inlined
def blend_rows(x: Any, rows: Any, weights: Any, values: Any, at: Any, count: Any, between: Any) -> None:
    """Set `values` from element `at` on to what four rows of x give: (d0, h0), (d0, h1), (d1, h0), (d1, h1)."""
    d0, d1, h0, h1 = weights
    if between == 1:
        for j in range(count):
            near = mix(load(x, rows[0] + j), load(x, rows[1] + j), h0, h1)
            far = mix(load(x, rows[2] + j), load(x, rows[3] + j), h0, h1)
            store(values, at + j, mix(near, far, d0, d1))
    else:
        for j in range(count):
            i = j * between
            near = mix(load(x, rows[0] + i), load(x, rows[1] + i), h0, h1)
            far = mix(load(x, rows[2] + i), load(x, rows[3] + i), h0, h1)
            store(values, at + j, mix(near, far, d0, d1))


def _make_stretch(real: Any, lanes: int) -> Any:
    """Return a device function that sets outputs of a row to what lies between two columns each.

    ``stretch_row(values, at, taken, weights, span, pair, out, target)``: the columns lie in `values` from `at` on;
    `taken` are the table of columns, where in it this axis begins, its length and the first column held; `weights` the
    table of weights and where this axis begins; `span` the first output and the one behind the last. Pairs, and else
    vectors of outputs, are stored as such.
    """
    kind = Block(real, lanes, 1, 1)

    @inlined
    def stretch_pairs(values: Any, column: Any, weights: Any, out: Any, first: Any, pairs: Any) -> None:
        a0, a1, b0, b1 = weights
        for j in range(pairs):
            here, there = load(values, column + j), load(values, column + j + 1)
            store(out, first + 2 * j, fma(there, a1, here * a0))
            store(out, first + 2 * j + 1, fma(there, b1, here * b0))

    def stretch_row(
        values: Any, at: Any, taken: Any, weights: Any, span: Any, pair: Any, out: Any, target: Any
    ) -> None:
        table, lows, length, origin = taken
        shares, near = weights
        begin, pairs = pair
        vectors = 0
        if pairs > 0:
            four = (
                load(shares, near + begin), load(shares, near + length + begin),
                load(shares, near + begin + 1), load(shares, near + length + begin + 1),
            )  # fmt: skip
            stretch_pairs(values, at + load(table, lows + begin) - origin, four, out, target + begin, pairs)
        else:
            vectors = (span[1] - span[0]) // lanes
        columns = pointer(values, at - origin)
        for n in range(vectors):
            i = span[0] + n * lanes
            here, there = gather(kind, columns, table, lows + i), gather(kind, columns, table, lows + length + i)
            weight = load_steps(kind, pointer(shares, near + i), 1)
            share = load_steps(kind, pointer(shares, near + length + i), 1)
            put(mix_vectors(here, there, weight, share), pointer(out, target + i))
        for n in range(span[0] + vectors * lanes, span[1] - 2 * pairs):
            i = n if n < begin or pairs == 0 else n + 2 * pairs
            here = load(values, at + load(table, lows + i) - origin)
            there = load(values, at + load(table, lows + length + i) - origin)
            store(out, target + i, mix(here, there, load(shares, near + i), load(shares, near + length + i)))

    return inlined(rename(stretch_row, f"stretch_row_{lanes}"))


@inlined
def stretch_voxels(values: Any, at: Any, taken: Any, weights: Any, span: Any, to: Any, out: Any, target: Any) -> None:
    """Do `stretch_row` for voxels of several channels side by side; `to` are their number and the step of outputs."""
    table, lows, length, origin = taken
    shares, near = weights
    width, step = to
    for i in range(span[0], span[1]):
        here = at + (load(table, lows + i) - origin) * width
        there = at + (load(table, lows + length + i) - origin) * width
        weight, share = load(shares, near + i), load(shares, near + length + i)
        for e in range(width):
            store(out, target + i * step + e, mix(load(values, here + e), load(values, there + e), weight, share))


@register("resample.linear", parallel=True)
def make_linear(real: Any, lanes: int) -> tuple[Any, Any]:
    """Make the kernel; rows run in parallel, each part of a row blended into the task's room, then stretched."""
    stretch_row = _make_stretch(real, lanes)

    def linear(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        table: Any,
        shares: Any,
        cuts: Any,
        pair: Any,
        scratch: Any,
        room: Any,
    ) -> None:
        rows, width = sizes[0] * sizes[1] * sizes[2], sizes[4]
        depth, height, length = sizes[1], sizes[2], sizes[3]
        lows = 2 * (depth + height)
        tasks = min(rows, len(scratch) // room)
        for task in prange(tasks):
            at = task * room
            for unit in range(rows * task // tasks, rows * (task + 1) // tasks):
                y, rest = unit % height, unit // height
                z, c = rest % depth, rest // depth
                base = x_start + c * x_steps[0]
                d0, d1 = base + load(table, z) * x_steps[1], base + load(table, depth + z) * x_steps[1]
                h0 = load(table, 2 * depth + y) * x_steps[2]
                h1 = load(table, 2 * depth + height + y) * x_steps[2]
                weights = (
                    load(shares, z), load(shares, depth + z),
                    load(shares, 2 * depth + y), load(shares, 2 * depth + height + y),
                )  # fmt: skip
                target = out_start + c * out_steps[0] + z * out_steps[1] + y * out_steps[2]
                for part in range(len(cuts) - 1):
                    span = (load(cuts, part), load(cuts, part + 1))
                    origin = load(table, lows + span[0])
                    columns = load(table, lows + length + span[1] - 1) - origin + 1
                    first = origin * x_steps[3]
                    four = (d0 + h0 + first, d0 + h1 + first, d1 + h0 + first, d1 + h1 + first)
                    taken = (table, lows, length, origin)
                    if width == 1:
                        blend_rows(x, four, weights, scratch, at, columns, x_steps[3])
                        stretch_row(scratch, at, taken, (shares, lows), span, pair, out, target)
                        continue
                    if x_steps[3] == width:
                        blend_rows(x, four, weights, scratch, at, columns * width, 1)
                    else:
                        for j in range(columns):
                            i = j * x_steps[3]
                            here = (four[0] + i, four[1] + i, four[2] + i, four[3] + i)
                            blend_rows(x, here, weights, scratch, at + j * width, width, 1)
                    stretch_voxels(scratch, at, taken, (shares, lows), span, (width, out_steps[3]), out, target)

    read, written, four = flat(real), flat(real, writable=True), types.UniTuple(int64, 4)
    five, two, ints = types.UniTuple(int64, 5), types.UniTuple(int64, 2), flat(int64)
    return linear, void(
        read, int64, four, written, int64, four, five, ints, read, ints, two, flat(real, writable=True), int64
    )

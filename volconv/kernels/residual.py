"""What adds another volume to a block of sums before they leave the registers: a convolution's residual.

Each instruction reads as one of `simd` and `winograd_blocks` stores, so what is added to a value lies where the value
will. Values a block does not store are read from a place that some value of it has: no address outside is touched.
"""

from __future__ import annotations

from typing import Any

from numba import types

from . import conv_plan as at
from .blocks import INT64, Vectors, intrinsic, join_block, split_block
from .conv_finish import rename
from .jit import inlined
from .simd import columns_of, lanes_of, rows_of, spill, zeros
from .winograd_blocks import load_block


def make_finish(scale: Any, bound: Any, add: Any = None) -> Any:
    """Return a device function that ends a block of sums in registers: ``finish(kind, sums, table, plan, other)``.

    Parameters
    ----------
    scale, bound : device functions
        ``(kind, sums, table, plan)`` to the sums with bias, scale and shift; to those with the activation's bounds or
        slopes.
    add : device function, optional
        ``(kind, sums, other)`` to the sums with what is added to them, before or after the activation as the plan says;
        without it nothing is added.
    """

    def finish_plain(kind: Any, sums: Any, table: Any, plan: Any, _other: Any) -> Any:
        return bound(kind, scale(kind, sums, table, plan), table, plan)

    def finish_adding(kind: Any, sums: Any, table: Any, plan: Any, other: Any) -> Any:
        sums = scale(kind, sums, table, plan)
        if plan[at.RESIDUAL_LAST] == 0:
            sums = add(kind, sums, other)
        sums = bound(kind, sums, table, plan)
        if plan[at.RESIDUAL_LAST] != 0:
            sums = add(kind, sums, other)
        return sums

    made = finish_plain if add is None else finish_adding
    return inlined(rename(made, f"{made.__name__}_{scale.__name__}_{add.__name__ if add else ''}"))


def _plus(builder: Any, value: Any, other: Any) -> Any:
    """Return value + other, and `value` where that is NaN: which of two NaN is kept is said as `add.plus` says it."""
    total = builder.fadd(value, other)
    return builder.select(builder.fcmp_unordered("uno", value, value), value, total)


@intrinsic
def _add_voxels(_context: Any, block: Any, source: Any, places: Any, _columns: Any) -> Any:
    """Return block[r, c] + vector at source + places[r] + c * lanes; column 0 for those from `columns` on."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = split_block(builder, block, args[0])
        shifts = [INT64(0)]
        for c in range(1, block.columns):
            shifts.append(builder.select(builder.icmp_signed(">", args[3], INT64(c)), INT64(c * block.lanes), INT64(0)))
        for r in range(block.rows):
            start = vectors.at(args[1], builder.load(vectors.at(args[2], r)))
            for c, shift in enumerate(shifts):
                i = r * block.columns + c
                values[i] = _plus(builder, values[i], vectors.load(vectors.at(start, shift)))
        return join_block(builder, block, values)

    return block(block, source, places, types.int64), build


@intrinsic
def _add_blocks(_context: Any, block: Any, other: Any) -> Any:
    """Return block + other."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pairs = zip(split_block(builder, block, args[0]), split_block(builder, block, args[1]), strict=True)
        return join_block(builder, block, [_plus(builder, a, b) for a, b in pairs])

    return block(block, other), build


@intrinsic
def _add_columns(_context: Any, block: Any, source: Any, places: Any, columns: Any) -> Any:
    """Return block[r, c] + vector at source + places[r] + columns[c]."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = split_block(builder, block, args[0])
        for c in range(block.columns):
            start = vectors.at(args[1], builder.load(vectors.at(args[3], c)))
            for r in range(block.rows):
                i = r * block.columns + c
                place = vectors.at(start, builder.load(vectors.at(args[2], r)))
                values[i] = _plus(builder, values[i], vectors.load(place))
        return join_block(builder, block, values)

    return block(block, source, places, columns), build


def _add_first(builder: Any, block: Any, values: list[Any], places: list[Any], lefts: list[Any], whole: Any) -> Any:
    """Return the block of values plus the vectors at `places`, of each the first `lefts` lanes unless `whole`."""
    vectors = Vectors(builder, block)
    with builder.if_else(whole, likely=True) as (all_lanes, some_lanes):
        with all_lanes:
            full = [_plus(builder, value, vectors.load(place)) for value, place in zip(values, places, strict=True)]
            after_all = builder.block
        with some_lanes:
            part = [
                _plus(builder, value, vectors.load_first(place, left))
                for value, place, left in zip(values, places, lefts, strict=True)
            ]
            after_some = builder.block
    sums = []
    for one, other in zip(full, part, strict=True):
        value = builder.phi(block.vector)
        value.add_incoming(one, after_all)
        value.add_incoming(other, after_some)
        sums.append(value)
    return join_block(builder, block, sums)


@intrinsic
def _add_lanes(_context: Any, block: Any, source: Any, _step: Any, _columns: Any, _count: Any) -> Any:
    """Return block[r, c] + vector r at source + c * step, of the first `count` voxels and the first `columns` columns.

    The others' sums are anything.
    """

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        starts = [args[1]]
        for c in range(1, block.columns):
            inside = builder.icmp_signed(">", args[3], INT64(c))
            starts.append(vectors.at(args[1], builder.select(inside, builder.mul(args[2], INT64(c)), INT64(0))))
        places = [vectors.at(start, r * block.lanes) for r in range(block.rows) for start in starts]
        lefts = [builder.sub(args[4], INT64(r * block.lanes)) for r in range(block.rows) for _ in range(block.columns)]
        whole = builder.icmp_signed(">=", args[4], INT64(block.rows * block.lanes))
        return _add_first(builder, block, split_block(builder, block, args[0]), places, lefts, whole)

    return block(block, source, types.int64, types.int64, types.int64), build


@intrinsic
def _add_rows(_context: Any, block: Any, source: Any, places: Any, _count: Any) -> Any:
    """Return the rows of a one-column block + the vectors at source + places[row], of their first `count` lanes."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        found = [vectors.at(args[1], builder.load(vectors.at(args[2], r))) for r in range(block.rows)]
        whole = builder.icmp_signed(">=", args[3], INT64(block.lanes))
        return _add_first(builder, block, split_block(builder, block, args[0]), found, [args[3]] * block.rows, whole)

    return block(block, source, places, types.int64), build


@inlined
def add_voxels(_kind: Any, sums: Any, other: Any) -> Any:
    """Add what `store_voxels` would overwrite: `other` is (source, places, columns)."""
    source, places, columns = other
    return _add_voxels(sums, source, places, columns)


@inlined
def add_phases(_kind: Any, sums: Any, other: Any) -> Any:
    """Add what `simd.store_columns` would overwrite: `other` is (source, places, columns), all of them places."""
    source, places, columns = other
    return _add_columns(sums, source, places, columns)


@inlined
def add_rows(_kind: Any, sums: Any, other: Any) -> Any:
    """Add what `store_rows` would overwrite: `other` is (source, places, count)."""
    source, places, count = other
    return _add_rows(sums, source, places, count)


@inlined
def add_lanes(kind: Any, sums: Any, other: Any) -> Any:
    """Add what `store_lanes` would overwrite: `other` is (source, step, x_step, columns, count)."""
    source, step, x_step, columns, count = other
    if x_step == 1:
        return _add_lanes(sums, source, step, columns, count)
    values = spill(zeros(kind))
    lanes = lanes_of(kind)
    for c in range(columns):
        for i in range(min(count, rows_of(kind) * lanes)):
            values[((i // lanes) * columns_of(kind) + c) * lanes + i % lanes] = source[c * step + i * x_step]
    return _add_blocks(sums, load_block(kind, values))

"""The instructions of Winograd's F(2x2x2, 3x3x3): transforms of a plane of 4 x 4 vectors, and their memory.

A 1-D step turns inputs (d0, d1, d2, d3) into (d0 - d2, d1 + d2, d2 - d1, d1 - d3), and products (m0, m1, m2, m3) into
the two outputs (m0 + m1 + m2, m1 - m2 - m3): Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
2016. An output thus never depends on the one input of four that lies outside its own window of three.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from .blocks import Block, Vectors, intrinsic, join_block, split_block


@intrinsic
def load_grid(_context: Any, block: Any, source: Any, rows: Any, columns: Any) -> Any:
    """Return the block whose vector (r, c) lies at source + rows[r] + columns[c]."""
    kind = block.instance_type

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, kind)
        starts = [vectors.at(args[1], builder.load(vectors.at(args[2], r))) for r in range(kind.rows)]
        shifts = [builder.load(vectors.at(args[3], c)) for c in range(kind.columns)]
        return join_block(builder, kind, [vectors.load(vectors.at(s, c)) for s in starts for c in shifts])

    return kind(block, source, rows, columns), build


@intrinsic
def load_four(_context: Any, block: Any, source: Any, _a: Any, _b: Any, _c: Any, _d: Any) -> Any:
    """Return a block of four rows, one vector each at source + a, b, c and d."""
    kind = block.instance_type

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, kind)
        return join_block(builder, kind, [vectors.load(vectors.at(args[1], place)) for place in args[2:]])

    return kind(block, source, *[types.int64] * 4), build


@intrinsic
def load_spread(_context: Any, block: Any, source: Any, _step: Any) -> Any:
    """Return the block whose vectors, in order, lie `step` elements apart from `source` on."""
    kind = block.instance_type

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, kind)
        places = _places(builder, vectors, args[1], args[2], kind.rows * kind.columns)
        return join_block(builder, kind, [vectors.load(place) for place in places])

    return kind(block, source, types.int64), build


@intrinsic
def store_spread(_context: Any, block: Any, target: Any, _step: Any) -> Any:
    """Store the vectors of a block, in order, `step` elements apart from `target` on."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = split_block(builder, block, args[0])
        places = _places(builder, vectors, args[1], args[2], len(values))
        for value, place in zip(values, places, strict=True):
            vectors.store(value, place)
        return _context.get_dummy_value()

    return types.void(block, target, types.int64), build


def _places(builder: Any, vectors: Vectors, start: Any, step: Any, count: int) -> list[Any]:
    """Return `count` addresses `step` elements apart, in fours that share a base: few registers hold them all."""
    multiples = [builder.mul(step, ir.Constant(step.type, i)) for i in range(5)]
    places: list[Any] = []
    base = start
    for i in range(0, count, 4):
        places += [base, *(vectors.at(base, multiples[n]) for n in range(1, 4))][: count - i]
        base = vectors.at(base, multiples[4])
    return places


def _elementwise(block: Any, combine: str) -> Any:
    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pairs = zip(split_block(builder, block, args[0]), split_block(builder, block, args[1]), strict=True)
        return join_block(builder, block, [getattr(builder, combine)(a, b) for a, b in pairs])

    return block(block, block), build


@intrinsic
def add_blocks(_context: Any, a: Any, b: Any) -> Any:
    """Return a + b."""
    del b
    return _elementwise(a, "fadd")


@intrinsic
def subtract_blocks(_context: Any, a: Any, b: Any) -> Any:
    """Return a - b."""
    del b
    return _elementwise(a, "fsub")


@intrinsic
def add_times(_context: Any, a: Any, b: Any, _factor: Any) -> Any:
    """Return a + b * factor, an int64: with 1 and -1 the sum and the difference, to the bit."""
    del b

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, a)
        factor = vectors.spread(builder.sitofp(args[2], a.scalar))
        pairs = zip(split_block(builder, a, args[0]), split_block(builder, a, args[1]), strict=True)
        return join_block(builder, a, [vectors.fma(other, factor, value) for value, other in pairs])

    return a(a, a, types.int64), build


def _inputs(builder: Any, d: list[Any]) -> list[Any]:
    return [builder.fsub(d[0], d[2]), builder.fadd(d[1], d[2]), builder.fsub(d[2], d[1]), builder.fsub(d[1], d[3])]


def _outputs(builder: Any, m: list[Any]) -> list[Any]:
    return [
        builder.fadd(builder.fadd(m[0], m[1]), m[2]),
        builder.fsub(builder.fsub(m[1], m[2]), m[3]),
    ]


@intrinsic
def transform_columns(_context: Any, block: Any) -> Any:
    """Return a block of four rows transformed along them, each column by itself."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values, columns = split_block(builder, block, args[0]), block.columns
        by_column = [_inputs(builder, values[c::columns]) for c in range(columns)]
        return join_block(builder, block, [by_column[c][r] for r in range(4) for c in range(columns)])

    return block(block), build


@intrinsic
def transform_halves(_context: Any, left: Any, right: Any) -> Any:
    """Return the block of four columns whose halves are given transformed along its columns."""
    result = Block(left.real, left.lanes, left.rows, 4)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        a, b = split_block(builder, left, args[0]), split_block(builder, right, args[1])
        rows = [_inputs(builder, a[2 * r : 2 * r + 2] + b[2 * r : 2 * r + 2]) for r in range(left.rows)]
        return join_block(builder, result, [value for row in rows for value in row])

    return result(left, right), build


@intrinsic
def transform_pair(_context: Any, block: Any) -> Any:
    """Return the two outputs of a block of four rows of products, as a block of two rows."""
    result = Block(block.real, block.lanes, 2, 1)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return join_block(builder, result, _outputs(builder, split_block(builder, block, args[0])))

    return result(block), build


@intrinsic
def transform_products(_context: Any, block: Any) -> Any:
    """Return the 2 x 2 outputs of a block of 4 x 4 products, as a block of four rows."""
    result = Block(block.real, block.lanes, 4, 1)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = split_block(builder, block, args[0])
        by_row = [_outputs(builder, values[4 * r : 4 * r + 4]) for r in range(4)]
        by_column = [_outputs(builder, [row[c] for row in by_row]) for c in range(2)]
        return join_block(builder, result, [by_column[c][r] for r in range(2) for c in range(2)])

    return result(block), build


@intrinsic
def fma_spread(_context: Any, sums: Any, values: Any, weights: Any) -> Any:
    """Return sums[r, c] + values[r * lanes] * weights vector c."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, sums)
        block = split_block(builder, sums, args[0])
        filters = [vectors.load(vectors.at(args[2], c * sums.lanes)) for c in range(sums.columns)]
        for r in range(sums.rows):
            value = vectors.spread(builder.load(vectors.at(args[1], r * sums.lanes)))
            for c, column in enumerate(filters):
                block[r * sums.columns + c] = vectors.fma(value, column, block[r * sums.columns + c])
        return join_block(builder, sums, block)

    return sums(sums, values, weights), build


@intrinsic
def load_block(_context: Any, block: Any, source: Any) -> Any:
    """Return the block whose vectors lie one after the other."""
    kind = block.instance_type

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, kind)
        count = kind.rows * kind.columns
        return join_block(builder, kind, [vectors.load(vectors.at(args[1], i * kind.lanes)) for i in range(count)])

    return kind(block, source), build


@intrinsic
def store_block(_context: Any, block: Any, target: Any) -> Any:
    """Store all vectors of a block one after the other."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        for i, value in enumerate(split_block(builder, block, args[0])):
            vectors.store(value, vectors.at(args[1], i * block.lanes))
        return _context.get_dummy_value()

    return types.void(block, target), build


@intrinsic
def store_inside(_context: Any, block: Any, target: Any, places: Any) -> Any:
    """Store each vector of a block at target + places[row]; not where that is negative."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        for r, value in enumerate(split_block(builder, block, args[0])):
            place = builder.load(vectors.at(args[2], r))
            with builder.if_then(builder.icmp_signed(">=", place, ir.Constant(place.type, 0)), likely=True):
                vectors.store(value, vectors.at(args[1], place))
        return _context.get_dummy_value()

    return types.void(block, target, places), build


def _not_finite(vectors: Vectors, value: Any) -> Any:
    """Return the mask of lanes that are infinite or NaN: there v - v is NaN."""
    difference = vectors.builder.fsub(value, value)
    return vectors.builder.fcmp_unordered("uno", difference, difference)


@intrinsic
def mark_not_finite(_context: Any, seen: Any, block: Any) -> Any:
    """Return `seen`, zeros, with NaN wherever `block` is infinite or NaN; NaN stays."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, seen)
        pairs = zip(split_block(builder, seen, args[0]), split_block(builder, block, args[1]), strict=True)
        zero = ir.Constant(seen.vector, None)
        return join_block(builder, seen, [vectors.fma(value, zero, total) for total, value in pairs])

    return seen(seen, block), build


@intrinsic
def all_finite(_context: Any, block: Any) -> Any:
    """Return whether every value of a block is finite."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        zero = ir.Constant(block.vector, None)
        total = zero
        for value in split_block(builder, block, args[0]):
            total = vectors.fma(value, zero, total)  # 0 * v is NaN where v is not finite, and NaN stays in the sum
        bits = builder.bitcast(builder.fcmp_unordered("uno", total, total), ir.IntType(block.lanes))
        return builder.icmp_unsigned("==", bits, ir.Constant(bits.type, 0))

    return types.boolean(block), build


@intrinsic
def replace_not_finite(_context: Any, block: Any, other: Any) -> Any:
    """Return `block` with the values of `other` where its own are not finite."""
    del other

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        pairs = zip(split_block(builder, block, args[0]), split_block(builder, block, args[1]), strict=True)
        return join_block(builder, block, [builder.select(_not_finite(vectors, a), b, a) for a, b in pairs])

    return block(block, block), build


@intrinsic
def store_columns(_context: Any, block: Any, target: Any, _step: Any) -> Any:
    """Store a block whose rows follow one another and whose columns lie `step` elements apart."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = split_block(builder, block, args[0])
        places = _places(builder, vectors, args[1], args[2], block.columns)
        for i, value in enumerate(values):
            vectors.store(value, vectors.at(places[i % block.columns], i // block.columns * block.lanes))
        return _context.get_dummy_value()

    return types.void(block, target, types.int64), build


@intrinsic
def store_rows(_context: Any, block: Any, target: Any, places: Any, _count: Any) -> Any:
    """Store the first `count` lanes of each row of a one-column block at target + places[row], if not negative."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        whole = builder.icmp_signed(">=", args[3], ir.Constant(args[3].type, block.lanes))
        for r, value in enumerate(split_block(builder, block, args[0])):
            place = builder.load(vectors.at(args[2], r))
            with builder.if_then(builder.icmp_signed(">=", place, ir.Constant(place.type, 0)), likely=True):
                start = vectors.at(args[1], place)
                with builder.if_else(whole, likely=True) as (all_lanes, some_lanes):
                    with all_lanes:
                        vectors.store(value, start)
                    with some_lanes:
                        vectors.store_first(value, start, args[3])
        return _context.get_dummy_value()

    return types.void(block, target, places, types.int64), build


@intrinsic
def fma_blocks(_context: Any, sums: Any, values: Any, factor: Any) -> Any:
    """Return sums + values * factor[0]."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, sums)
        scale = vectors.spread(builder.load(args[2]))
        pairs = zip(split_block(builder, sums, args[1]), split_block(builder, sums, args[0]), strict=True)
        return join_block(builder, sums, [vectors.fma(scale, value, total) for value, total in pairs])

    return sums(sums, values, factor), build

"""The instructions of kernels that work on blocks of vectors: memory, products, bounds. Nothing of convolution."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .blocks import INT32, INT64, Block, Vectors, intrinsic, join_block, split_block


@intrinsic
def pointer(_context: Any, array: Any, _index: Any) -> Any:
    """Return the address of element `index` of a flat array."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.int64), build


@intrinsic
def advance(_context: Any, start: Any, _count: Any) -> Any:
    """Return the address `count` elements behind the address `start`."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return start(start, types.int64), build


def _make_prefetch(place: Any, level: int) -> Any:
    """Return signature and generator of a prefetch into all caches (level 3) or the second and further ones (2)."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        address = builder.bitcast(args[0], ir.IntType(8).as_pointer())
        numbers = [INT32(0), INT32(level), INT32(1)]  # for reading; how near; data
        kinds = [address.type, *[n.type for n in numbers]]
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.prefetch.p0"
        )
        builder.call(function, [address, *numbers])
        return _context.get_dummy_value()

    return types.void(place), build


@intrinsic
def prefetch(_context: Any, place: Any) -> Any:
    """Ask for the cache line at an address, which need not be readable."""
    return _make_prefetch(place, 3)


@intrinsic
def prefetch_far(_context: Any, place: Any) -> Any:
    """Ask for the cache line at an address, which need not be readable; it will not displace what L1 holds."""
    return _make_prefetch(place, 2)


@intrinsic
def make_places(_context: Any, block: Any) -> Any:
    """Return the address of as many int64 on the stack as the block type has rows."""
    rows = block.instance_type.rows

    def build(_context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        place = cgutils.alloca_once(builder, ir.ArrayType(INT64, rows))
        return builder.bitcast(place, INT64.as_pointer())

    return types.CPointer(types.int64)(block), build


@intrinsic
def spill(_context: Any, block: Any) -> Any:
    """Return the address of the block's values on the stack: rows of columns of lanes."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        place = cgutils.alloca_once(builder, args[0].type)
        builder.store(args[0], place)
        return builder.bitcast(place, block.scalar.as_pointer())

    return types.CPointer(block.real)(block), build


def _constant(name: str) -> Any:
    @intrinsic
    def constant(_context: Any, block: Any) -> Any:
        value = getattr(block.instance_type, name)

        def build(_context: Any, _builder: Any, _signature: Any, _args: Any) -> Any:
            return INT64(value)

        return types.int64(block), build

    return constant


rows_of, columns_of, lanes_of = (_constant(name) for name in ("rows", "columns", "lanes"))
"""Return the number of rows, columns or lanes of a block type, a constant in the code."""


@intrinsic
def zeros(_context: Any, block: Any) -> Any:
    """Return a block of zeros of the block type given."""
    kind = block.instance_type

    def build(_context: Any, _builder: Any, _signature: Any, _args: Any) -> Any:
        return ir.Constant(ir.ArrayType(kind.vector, kind.rows * kind.columns), None)

    return kind(block), build


@intrinsic
def load_vectors(_context: Any, block: Any, source: Any) -> Any:
    """Return a block of one row, of the columns of the block type given: consecutive vectors at `source`."""
    kind = block.instance_type
    row = Block(kind.real, kind.lanes, 1, kind.columns)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, row)
        return join_block(builder, row, [vectors.load(vectors.at(args[1], c * row.lanes)) for c in range(row.columns)])

    return row(block, source), build


@intrinsic
def spread_values(_context: Any, block: Any, source: Any) -> Any:
    """Return a block of one row, of the columns of the block type given: each the value at `source` in every lane."""
    kind = block.instance_type
    row = Block(kind.real, kind.lanes, 1, kind.columns)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, row)
        spread = [vectors.spread(builder.load(vectors.at(args[1], c))) for c in range(row.columns)]
        return join_block(builder, row, spread)

    return row(block, source), build


def _by_columns(block: Any, operands: int, combine: Any) -> Any:
    """Return signature and generator of `combine(vectors, value, *operands)`, operands being one row of columns."""
    row = Block(block.real, block.lanes, 1, block.columns)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        columns = [split_block(builder, row, a) for a in args[1:]]
        result = []
        for i, value in enumerate(split_block(builder, block, args[0])):
            result.append(combine(vectors, value, *(column[i % block.columns] for column in columns)))
        return join_block(builder, block, result)

    return block(block, *[row] * operands), build


@intrinsic
def add_columns(_context: Any, block: Any, addend: Any) -> Any:
    """Return block[r, c] + addend[c]."""
    del addend
    return _by_columns(block, 1, lambda vectors, value, a: vectors.builder.fadd(value, a))


@intrinsic
def scale_columns(_context: Any, block: Any, scale: Any, shift: Any) -> Any:
    """Return fma(block[r, c], scale[c], shift[c])."""
    del scale, shift
    return _by_columns(block, 2, lambda vectors, value, a, b: vectors.fma(value, a, b))


@intrinsic
def clip_columns(_context: Any, block: Any, low: Any, high: Any) -> Any:
    """Return block[r, c] clipped to low[c] and high[c]; NaN stays NaN."""
    del low, high

    def clip(vectors: Any, value: Any, a: Any, b: Any) -> Any:
        builder = vectors.builder
        value = builder.select(builder.fcmp_ordered("<", value, a), a, value)
        return builder.select(builder.fcmp_ordered(">", value, b), b, value)

    return _by_columns(block, 2, clip)


@intrinsic
def slope_columns(_context: Any, block: Any, slope: Any) -> Any:
    """Return block[r, c] where it is > 0, else block[r, c] * slope[c]."""
    del slope

    def bend(vectors: Any, value: Any, a: Any) -> Any:
        builder = vectors.builder
        above = builder.fcmp_ordered(">", value, ir.Constant(vectors.vector, None))
        return builder.select(above, value, builder.fmul(value, a))

    return _by_columns(block, 1, bend)


@intrinsic
def load_voxels(_context: Any, block: Any, source: Any, places: Any, _columns: Any) -> Any:
    """Return a block whose row r is `columns` vectors at source + places[r]; further columns are zero."""
    kind = block.instance_type

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, kind)
        zero = ir.Constant(kind.vector, None)
        values = []
        for r in range(kind.rows):
            start = vectors.at(args[1], builder.load(vectors.at(args[2], r)))
            for c in range(kind.columns):
                before = builder.block
                with builder.if_then(builder.icmp_signed(">", args[3], INT64(c))):
                    loaded = vectors.load(vectors.at(start, c * kind.lanes))
                    inside = builder.block
                value = builder.phi(kind.vector)
                value.add_incoming(zero, before)
                value.add_incoming(loaded, inside)
                values.append(value)
        return join_block(builder, kind, values)

    return kind(block, source, places, types.int64), build


@intrinsic
def store_voxels(_context: Any, block: Any, target: Any, places: Any, _columns: Any) -> Any:
    """Store the first `columns` vectors of row r at target + places[r]."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = split_block(builder, block, args[0])
        for c in range(block.columns):
            with builder.if_then(builder.icmp_signed(">", args[3], INT64(c)), likely=True):
                for r in range(block.rows):
                    start = vectors.at(args[1], builder.load(vectors.at(args[2], r)))
                    vectors.store(values[r * block.columns + c], vectors.at(start, c * block.lanes))
        return _context.get_dummy_value()

    return types.void(block, target, places, types.int64), build


@intrinsic
def store_columns(_context: Any, block: Any, target: Any, places: Any, columns: Any) -> Any:
    """Store row r, column c at target + places[r] + columns[c]; columns whose place is negative are left out."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = split_block(builder, block, args[0])
        for c in range(block.columns):
            column = builder.load(vectors.at(args[3], c))
            with builder.if_then(builder.icmp_signed(">=", column, INT64(0)), likely=True):
                start = vectors.at(args[1], column)
                for r in range(block.rows):
                    place = vectors.at(start, builder.load(vectors.at(args[2], r)))
                    vectors.store(values[r * block.columns + c], place)
        return _context.get_dummy_value()

    return types.void(block, target, places, columns), build


@intrinsic
def store_lanes(_context: Any, block: Any, target: Any, _channel_step: Any, _columns: Any, _count: Any) -> Any:
    """Store the first `count` voxels of the first `columns` channels at target + channel * channel_step + voxel."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = split_block(builder, block, args[0])
        whole = builder.icmp_signed(">=", args[4], INT64(block.rows * block.lanes))
        for c in range(block.columns):
            with builder.if_then(builder.icmp_signed(">", args[3], INT64(c)), likely=True):
                start = builder.gep(args[1], [builder.mul(args[2], INT64(c))])
                with builder.if_else(whole, likely=True) as (all_lanes, some_lanes):
                    with all_lanes:
                        for r in range(block.rows):
                            vectors.store(values[r * block.columns + c], vectors.at(start, r * block.lanes))
                    with some_lanes:
                        for r in range(block.rows):
                            left = builder.sub(args[4], INT64(r * block.lanes))
                            vectors.store_first(values[r * block.columns + c], vectors.at(start, r * block.lanes), left)
        return _context.get_dummy_value()

    return types.void(block, target, types.int64, types.int64, types.int64), build


@intrinsic
def load_rows(_context: Any, block: Any, source: Any, _step: Any) -> Any:
    """Return the block, of the block type given and one column, whose row r is the vector at source + r * step."""
    kind = block.instance_type

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, kind)
        places = (vectors.at(args[1], builder.mul(args[2], INT64(r))) for r in range(kind.rows))
        return join_block(builder, kind, [vectors.load(place) for place in places])

    return kind(block, source, types.int64), build


@intrinsic
def transpose_rows(_context: Any, block: Any) -> Any:
    """Return the square block (as many rows as lanes, a power of two; one column) with lanes and rows exchanged."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        rows, lanes = split_block(builder, block, args[0]), block.lanes
        apart = lanes // 2
        while apart:  # halves, quarters, ... change sides
            low = [n if not n & apart else n - apart + lanes for n in range(lanes)]
            high = [n + apart if not n & apart else n + lanes for n in range(lanes)]
            masks = [ir.Constant(ir.VectorType(INT32, lanes), numbers) for numbers in (low, high)]
            for r in (r for r in range(lanes) if not r & apart):
                pair = rows[r], rows[r + apart]
                rows[r], rows[r + apart] = (builder.shuffle_vector(*pair, mask) for mask in masks)
            apart //= 2
        return join_block(builder, block, rows)

    return block(block), build


@intrinsic
def store_rows(_context: Any, block: Any, target: Any, _step: Any) -> Any:
    """Store row r of a block of one column at target + r * step."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        for r, value in enumerate(split_block(builder, block, args[0])):
            vectors.store(value, vectors.at(args[1], builder.mul(args[2], INT64(r))))
        return _context.get_dummy_value()

    return types.void(block, target, types.int64), build


@intrinsic
def next_job(_context: Any, counter: Any) -> Any:
    """Add one to the int64 at `counter`, as one step for all threads, and return what it was."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", args[0], INT64(1), "monotonic")

    return types.int64(counter), build

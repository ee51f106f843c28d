"""Vectors and blocks of vectors as numba types, and the intrinsics that work on them.

A block of R x C vectors is one value whose LLVM type is an array of vectors, so the accumulators of a micro-kernel stay
in registers across ordinary loops. Vectors are explicit: LLVM neither narrows nor reorders them, lanes never mix, and
every fused multiply-add is `llvm.fma`. On a processor without one, sums are multiplied and added (two roundings): a
second class of results, but never libm's emulation, which is a hundred times slower. Knows nothing of convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import register_model

from .catalog import has_fma

_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an instruction of kernels from the function that types and generates it."""
    made: Callable[..., Any] = numba_intrinsic(function)
    return made


class Block(types.Type):  # type: ignore[misc]
    """Type of a block of `rows` x `columns` vectors of `lanes` values of type `real`.

    `step` is the distance in memory of the voxels `fma_lanes` puts side by side, 0 where only the call knows it.
    """

    def __init__(self, real: Any, lanes: int, rows: int, columns: int, step: int = 1) -> None:
        self.real, self.lanes, self.rows, self.columns, self.step = real, lanes, rows, columns, step
        super().__init__(name=f"Block({real}x{lanes}, {rows}x{columns}, {step})")

    @property
    def vector(self) -> ir.VectorType:
        """LLVM's type of one vector."""
        return ir.VectorType(self.scalar, self.lanes)

    @property
    def scalar(self) -> Any:
        """LLVM's type of one value."""
        return ir.FloatType() if self.real.bitwidth == 32 else ir.DoubleType()


@register_model(Block)
class _BlockModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Block) -> None:
        super().__init__(dmm, fe_type, ir.ArrayType(fe_type.vector, fe_type.rows * fe_type.columns))


class Span(types.Type):  # type: ignore[misc]
    """Type that stands for the columns `low` to `high` of a block."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        super().__init__(name=f"Span({low}, {high})")


class Vectors:
    """What the code generators below share: reading, writing and combining vectors of one block type.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where instructions go.
    block : Block
        Gives the element type and the lanes.
    """

    def __init__(self, builder: Any, block: Block) -> None:
        self.builder, self.block, self.vector = builder, block, block.vector
        self.suffix = f"v{block.lanes}f{block.real.bitwidth}"

    def call(self, name: str, result: Any, args: list[Any]) -> Any:
        """Call LLVM's intrinsic function `name`."""
        kind = ir.FunctionType(result, [a.type for a in args])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, args)

    def at(self, pointer: Any, index: Any) -> Any:
        """Return the address of element `index` (an int or an LLVM value)."""
        return self.builder.gep(pointer, [_INT64(index) if isinstance(index, int) else index])

    def load(self, pointer: Any) -> Any:
        """Load a vector from any address."""
        target = self.builder.bitcast(pointer, self.vector.as_pointer())
        return self.builder.load(target, align=self.block.real.bitwidth // 8)

    def store(self, value: Any, pointer: Any) -> None:
        """Store a vector at any address."""
        target = self.builder.bitcast(pointer, self.vector.as_pointer())
        self.builder.store(value, target, align=self.block.real.bitwidth // 8)

    def spread(self, scalar: Any) -> Any:
        """Return a vector of which every lane is `scalar`."""
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(empty, scalar, _INT32(0))
        zeros = ir.Constant(ir.VectorType(_INT32, self.block.lanes), [0] * self.block.lanes)
        return self.builder.shuffle_vector(first, empty, zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once where the processor can."""
        if has_fma():
            return self.call(f"llvm.fma.{self.suffix}", self.vector, [a, b, c])
        return self.builder.fadd(self.builder.fmul(a, b), c)

    def first_lanes(self, count: Any) -> Any:
        """Return the mask of the lanes below `count` (an int64)."""
        lanes = self.block.lanes
        numbers = ir.Constant(ir.VectorType(_INT64, lanes), list(range(lanes)))
        wide = self.builder.insert_element(ir.Constant(numbers.type, ir.Undefined), count, _INT32(0))
        zeros = ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes)
        wide = self.builder.shuffle_vector(wide, ir.Constant(numbers.type, ir.Undefined), zeros)
        return self.builder.icmp_signed("<", numbers, wide)

    def store_first(self, value: Any, pointer: Any, count: Any) -> None:
        """Store the lanes below `count` (an int64) of a vector at any address."""
        target = self.builder.bitcast(pointer, self.vector.as_pointer())
        align = _INT32(self.block.real.bitwidth // 8)
        args = [value, target, align, self.first_lanes(count)]
        self.call(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), args)

    def load_spaced(self, pointer: Any, step: int | Any) -> Any:
        """Load a vector of values that lie `step` elements apart: 1 and 2 (as ints) by whole vectors."""
        lanes, builder = self.block.lanes, self.builder
        if step == 1:
            return self.load(pointer)
        if step == 2:
            pair = [self.load(pointer), self.load(self.at(pointer, lanes))]
            even = ir.Constant(ir.VectorType(_INT32, lanes), list(range(0, 2 * lanes, 2)))
            return builder.shuffle_vector(*pair, even)
        value = ir.Constant(self.vector, ir.Undefined)
        for lane in range(lanes):
            place = self.at(pointer, builder.mul(step, _INT64(lane)))
            value = builder.insert_element(value, builder.load(place), _INT32(lane))
        return value


def _values(builder: Any, block: Block, aggregate: Any) -> list[Any]:
    return [builder.extract_value(aggregate, i) for i in range(block.rows * block.columns)]


def _aggregate(builder: Any, block: Block, values: list[Any]) -> Any:
    result = ir.Constant(ir.ArrayType(block.vector, len(values)), ir.Undefined)
    for i, value in enumerate(values):
        result = builder.insert_value(result, value, i)
    return result


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


@intrinsic
def make_places(_context: Any, block: Any) -> Any:
    """Return the address of as many int64 on the stack as the block type has rows."""
    rows = block.instance_type.rows

    def build(_context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        place = cgutils.alloca_once(builder, ir.ArrayType(_INT64, rows))
        return builder.bitcast(place, _INT64.as_pointer())

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
            return _INT64(value)

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
def fma_voxels(_context: Any, sums: Any, inputs: Any, places: Any, weights: Any) -> Any:
    """Return sums[r, c] + inputs[places[r]] * weights vector c: rows are voxels, columns vectors of channels."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, sums)
        values = _values(builder, sums, args[0])
        filters = [vectors.load(vectors.at(args[3], c * sums.lanes)) for c in range(sums.columns)]
        for r in range(sums.rows):
            place = builder.load(vectors.at(args[2], r))
            voxel = vectors.spread(builder.load(vectors.at(args[1], place)))
            for c, column in enumerate(filters):
                i = r * sums.columns + c
                values[i] = vectors.fma(voxel, column, values[i])
        return _aggregate(builder, sums, values)

    return sums(sums, inputs, places, weights), build


def _fma_lanes(builder: Any, sums: Block, args: Any, low: int, high: int) -> Any:
    """Generate `fma_lanes` for the columns `low` to `high`; args are sums, inputs, spacing, weights."""
    vectors = Vectors(builder, sums)
    values = _values(builder, sums, args[0])
    voxels = []
    for r in range(sums.rows):
        if sums.step == 0:
            start = vectors.at(args[1], builder.mul(args[2], _INT64(r * sums.lanes)))
            voxels.append(vectors.load_spaced(start, args[2]))
        else:
            start = vectors.at(args[1], r * sums.lanes * sums.step)
            voxels.append(vectors.load_spaced(start, sums.step))
    for c in range(low, high):
        weight = vectors.spread(builder.load(vectors.at(args[3], c - low)))
        for r, row in enumerate(voxels):
            i = r * sums.columns + c
            values[i] = vectors.fma(weight, row, values[i])
    return _aggregate(builder, sums, values)


@intrinsic
def fma_lanes(_context: Any, sums: Any, inputs: Any, _spacing: Any, weights: Any) -> Any:
    """Return sums[r, c] + input vector r * weights[c]: rows are vectors of voxels `spacing` apart, columns channels."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _fma_lanes(builder, sums, args, 0, sums.columns)

    return sums(sums, inputs, types.int64, weights), build


@intrinsic
def fma_span(_context: Any, span: Any, sums: Any, inputs: Any, _spacing: Any, weights: Any) -> Any:
    """Do `fma_lanes` in the columns of a span only; the first of them takes weights[0]."""
    low, high = span.instance_type.low, span.instance_type.high

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _fma_lanes(builder, sums, args[1:], low, high)

    return sums(span, sums, inputs, types.int64, weights), build


@intrinsic
def load_vectors(_context: Any, block: Any, source: Any) -> Any:
    """Return a block of one row, of the columns of the block type given: consecutive vectors at `source`."""
    kind = block.instance_type
    row = Block(kind.real, kind.lanes, 1, kind.columns)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, row)
        return _aggregate(builder, row, [vectors.load(vectors.at(args[1], c * row.lanes)) for c in range(row.columns)])

    return row(block, source), build


@intrinsic
def spread_values(_context: Any, block: Any, source: Any) -> Any:
    """Return a block of one row, of the columns of the block type given: each the value at `source` in every lane."""
    kind = block.instance_type
    row = Block(kind.real, kind.lanes, 1, kind.columns)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, row)
        spread = [vectors.spread(builder.load(vectors.at(args[1], c))) for c in range(row.columns)]
        return _aggregate(builder, row, spread)

    return row(block, source), build


def _by_columns(block: Any, operands: int, combine: Any) -> Any:
    """Return signature and generator of `combine(vectors, value, *operands)`, operands being one row of columns."""
    row = Block(block.real, block.lanes, 1, block.columns)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        columns = [_values(builder, row, a) for a in args[1:]]
        result = []
        for i, value in enumerate(_values(builder, block, args[0])):
            result.append(combine(vectors, value, *(column[i % block.columns] for column in columns)))
        return _aggregate(builder, block, result)

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
                with builder.if_then(builder.icmp_signed(">", args[3], _INT64(c))):
                    loaded = vectors.load(vectors.at(start, c * kind.lanes))
                    inside = builder.block
                value = builder.phi(kind.vector)
                value.add_incoming(zero, before)
                value.add_incoming(loaded, inside)
                values.append(value)
        return _aggregate(builder, kind, values)

    return kind(block, source, places, types.int64), build


@intrinsic
def store_voxels(_context: Any, block: Any, target: Any, places: Any, _columns: Any) -> Any:
    """Store the first `columns` vectors of row r at target + places[r]."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = _values(builder, block, args[0])
        for c in range(block.columns):
            with builder.if_then(builder.icmp_signed(">", args[3], _INT64(c)), likely=True):
                for r in range(block.rows):
                    start = vectors.at(args[1], builder.load(vectors.at(args[2], r)))
                    vectors.store(values[r * block.columns + c], vectors.at(start, c * block.lanes))
        return _context.get_dummy_value()

    return types.void(block, target, places, types.int64), build


@intrinsic
def store_lanes(_context: Any, block: Any, target: Any, _channel_step: Any, _columns: Any, _count: Any) -> Any:
    """Store the first `count` voxels of the first `columns` channels at target + channel * channel_step + voxel."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        values = _values(builder, block, args[0])
        whole = builder.icmp_signed(">=", args[4], _INT64(block.rows * block.lanes))
        for c in range(block.columns):
            with builder.if_then(builder.icmp_signed(">", args[3], _INT64(c)), likely=True):
                start = builder.gep(args[1], [builder.mul(args[2], _INT64(c))])
                with builder.if_else(whole, likely=True) as (all_lanes, some_lanes):
                    with all_lanes:
                        for r in range(block.rows):
                            vectors.store(values[r * block.columns + c], vectors.at(start, r * block.lanes))
                    with some_lanes:
                        for r in range(block.rows):
                            left = builder.sub(args[4], _INT64(r * block.lanes))
                            vectors.store_first(values[r * block.columns + c], vectors.at(start, r * block.lanes), left)
        return _context.get_dummy_value()

    return types.void(block, target, types.int64, types.int64, types.int64), build


@intrinsic
def next_job(_context: Any, counter: Any) -> Any:
    """Add one to the int64 at `counter`, as one step for all threads, and return what it was."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", args[0], _INT64(1), "monotonic")

    return types.int64(counter), build

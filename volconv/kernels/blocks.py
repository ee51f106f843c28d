"""Blocks of vectors as numba types, and what generating code for them shares.

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

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)


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
        return self.builder.gep(pointer, [INT64(index) if isinstance(index, int) else index])

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
        first = self.builder.insert_element(empty, scalar, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, self.block.lanes), [0] * self.block.lanes)
        return self.builder.shuffle_vector(first, empty, zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once where the processor can."""
        if has_fma():
            return self.call(f"llvm.fma.{self.suffix}", self.vector, [a, b, c])
        return self.builder.fadd(self.builder.fmul(a, b), c)

    def first_lanes(self, count: Any) -> Any:
        """Return the mask of the lanes below `count` (an int64)."""
        lanes = self.block.lanes
        numbers = ir.Constant(ir.VectorType(INT64, lanes), list(range(lanes)))
        wide = self.builder.insert_element(ir.Constant(numbers.type, ir.Undefined), count, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes)
        wide = self.builder.shuffle_vector(wide, ir.Constant(numbers.type, ir.Undefined), zeros)
        return self.builder.icmp_signed("<", numbers, wide)

    def store_first(self, value: Any, pointer: Any, count: Any) -> None:
        """Store the lanes below `count` (an int64) of a vector at any address."""
        target = self.builder.bitcast(pointer, self.vector.as_pointer())
        align = INT32(self.block.real.bitwidth // 8)
        args = [value, target, align, self.first_lanes(count)]
        self.call(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), args)

    def load_first(self, pointer: Any, count: Any) -> Any:
        """Load the lanes below `count` (an int64) of a vector at any address; the others are 0."""
        source = self.builder.bitcast(pointer, self.vector.as_pointer())
        align = INT32(self.block.real.bitwidth // 8)
        args = [source, align, self.first_lanes(count), ir.Constant(self.vector, None)]
        return self.call(f"llvm.masked.load.{self.suffix}.p0", self.vector, args)

    def load_spaced(self, pointer: Any, step: int | Any) -> Any:
        """Load a vector of values that lie `step` elements apart: 1 and 2 (as ints) by whole vectors."""
        lanes, builder = self.block.lanes, self.builder
        if step == 1:
            return self.load(pointer)
        if step == 2:
            pair = [self.load(pointer), self.load(self.at(pointer, lanes))]
            even = ir.Constant(ir.VectorType(INT32, lanes), list(range(0, 2 * lanes, 2)))
            return builder.shuffle_vector(*pair, even)
        value = ir.Constant(self.vector, ir.Undefined)
        for lane in range(lanes):
            place = self.at(pointer, builder.mul(step, INT64(lane)))
            value = builder.insert_element(value, builder.load(place), INT32(lane))
        return value


def split_block(builder: Any, block: Block, aggregate: Any) -> list[Any]:
    return [builder.extract_value(aggregate, i) for i in range(block.rows * block.columns)]


def join_block(builder: Any, block: Block, values: list[Any]) -> Any:
    result = ir.Constant(ir.ArrayType(block.vector, len(values)), ir.Undefined)
    for i, value in enumerate(values):
        result = builder.insert_value(result, value, i)
    return result

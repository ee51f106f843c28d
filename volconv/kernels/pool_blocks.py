"""The instructions of pooling kernels: vectors of inputs some elements apart, taken into a vector of results."""

from __future__ import annotations

from typing import Any

from numba import types

from .blocks import Block, Vectors, intrinsic, join_block, split_block


@intrinsic
def load_steps(_context: Any, block: Any, source: Any, _step: Any) -> Any:
    """Return one vector of values that lie the block type's `step` apart, or `_step` where that is 0."""
    kind = block.instance_type
    row = Block(kind.real, kind.lanes, 1, 1, kind.step)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, row)
        return join_block(builder, row, [vectors.load_spaced(args[1], kind.step or args[2])])

    return row(block, source, types.int64), build


@intrinsic
def take_largest(_context: Any, block: Any, other: Any) -> Any:
    """Return in each lane the value of `other` where it is larger or NaN, else that of `block`."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        best, value = (split_block(builder, block, a)[0] for a in args)
        taken = builder.or_(builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value))
        return join_block(builder, block, [builder.select(taken, value, best)])

    return block(block, other), build


@intrinsic
def take_sum(_context: Any, block: Any, other: Any) -> Any:
    """Return in each lane the sum of both."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        total, value = (split_block(builder, block, a)[0] for a in args)
        return join_block(builder, block, [builder.fadd(total, value)])

    return block(block, other), build


@intrinsic
def spread(_context: Any, block: Any, _value: Any) -> Any:
    """Return one vector of which every lane is the value given."""
    kind = block.instance_type
    row = Block(kind.real, kind.lanes, 1, 1, kind.step)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return join_block(builder, row, [Vectors(builder, row).spread(args[1])])

    return row(block, kind.real), build


@intrinsic
def put(_context: Any, block: Any, target: Any) -> Any:
    """Store one vector at an address."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, block)
        vectors.store(split_block(builder, block, args[0])[0], args[1])
        return _context.get_dummy_value()

    return types.void(block, target), build

"""The instructions of resampling kernels: vectors of values from any places of a row, and mixing two of them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from .blocks import INT32, Block, Vectors, intrinsic, join_block, split_block


@intrinsic
def gather(_context: Any, block: Any, source: Any, _array: Any, _index: Any) -> Any:
    """Return one vector of the values at source + array[index], source + array[index + 1], ..."""
    kind = block.instance_type
    row = Block(kind.real, kind.lanes, 1, 1, kind.step)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, row)
        table = vectors.at(context.make_array(signature.args[2])(context, builder, args[2]).data, args[3])
        value = ir.Constant(row.vector, ir.Undefined)
        for lane in range(row.lanes):
            place = vectors.at(args[1], builder.load(vectors.at(table, lane)))
            value = builder.insert_element(value, builder.load(place), INT32(lane))
        return join_block(builder, row, [value])

    return row(block, source, _array, types.int64), build


@intrinsic
def mix_vectors(_context: Any, near: Any, far: Any, weight: Any, share: Any) -> Any:
    """Return near * weight + far * share, and `near` alone in lanes where the share is 0."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, near)
        here, there, weights, shares = (split_block(builder, near, a)[0] for a in args)
        mixed = vectors.fma(there, shares, builder.fmul(here, weights))
        alone = builder.fcmp_ordered("==", shares, ir.Constant(near.vector, None))
        return join_block(builder, near, [builder.select(alone, here, mixed)])

    return near(near, far, weight, share), build

"""The instructions of Winograd's minimal filters: a plane of vectors transformed along two axes at once.

Which sums they take is part of their types, so each kernel is made for its filters and every step is an addition.
"""

from __future__ import annotations

from typing import Any

from numba import types

from .blocks import Block, intrinsic, join_block, split_block
from .catalog_filters import FILTERS, Terms


class Filters(types.Type):  # type: ignore[misc]
    """Type that stands for the filters along h and w, by their numbers in `FILTERS`."""

    def __init__(self, along_h: int, along_w: int) -> None:
        known = list(FILTERS.values())
        self.h, self.w = known[along_h], known[along_w]
        super().__init__(name=f"Filters({along_h}, {along_w})")


def _combine(builder: Any, terms: Terms, values: list[Any]) -> Any:
    """Return the sum of the values that `terms` name, in their order; the first is positive."""
    (first, _), *rest = terms
    total = values[first]
    for index, sign in rest:
        total = (builder.fadd if sign > 0 else builder.fsub)(total, values[index])
    return total


def _transform(builder: Any, rows: tuple[Terms, ...], columns: tuple[Terms, ...], values: list[Any]) -> list[Any]:
    """Return the combinations along both axes of values that lie in rows as long as `values` and `columns` say."""
    width = 1 + max(index for terms in columns for index, _ in terms)
    by_row = [
        [_combine(builder, terms, values[start : start + width]) for terms in columns]
        for start in range(0, len(values), width)
    ]
    return [
        _combine(builder, terms, [row[c] for row in by_row]) for terms in rows for c in range(len(columns))
    ]  # fmt: skip


def _reshape(block: Any, rows: int, columns: int) -> Block:
    return Block(block.real, block.lanes, rows, columns)


@intrinsic
def transform_inputs(_context: Any, filters: Any, block: Any) -> Any:
    """Return the values along h and w of a block of inputs (h, w)."""
    along_h, along_w = filters.instance_type.h, filters.instance_type.w
    result = _reshape(block, len(along_h.values), len(along_w.values))

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = _transform(builder, along_h.values, along_w.values, split_block(builder, block, args[1]))
        return join_block(builder, result, values)

    return result(filters, block), build


@intrinsic
def transform_sums(_context: Any, filters: Any, block: Any) -> Any:
    """Return the outputs along h and w of a block of points (h, w), as a block of one column."""
    along_h, along_w = filters.instance_type.h, filters.instance_type.w
    result = _reshape(block, along_h.outputs * along_w.outputs, 1)

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        values = _transform(builder, along_h.sums, along_w.sums, split_block(builder, block, args[1]))
        return join_block(builder, result, values)

    return result(filters, block), build

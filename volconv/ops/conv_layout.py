"""Shapes in which the frameworks store a convolution's weight and bias. They differ in how axes are split, never in the
order of the numbers, so every way between them is a reshape.

    plain     (O, I/G, *k), transposed (I, O/G, *k); bias (O,)
    grouped   the same for one group; (G, O/G, I/G, *k), transposed (G, I/G, O/G, *k) for more; bias (1, O, 1, …)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .base import Op
from .conv3d import Conv3d
from .conv_transpose3d import ConvTranspose3d
from .reader import Shape

Convolution = Conv3d | ConvTranspose3d


def plain_shapes(rank: int) -> Callable[[Op], Mapping[str, Shape]]:
    """Return the function from a convolution to the shapes of its tensors in plain layout."""

    def shapes(op: Op) -> Mapping[str, Shape]:
        out = dict(op.tensor_shapes())
        weight = out["weight"]
        out["weight"] = (*weight[:2], *weight[5 - rank :])
        return out

    return shapes


def grouped_shapes(rank: int) -> Callable[[Op], Mapping[str, Shape]]:
    """Return the function from a convolution to the shapes of its tensors in grouped layout."""

    def shapes(op: Op) -> Mapping[str, Shape]:
        assert isinstance(op, Convolution)
        out = dict(plain_shapes(rank)(op))
        first, *rest = out["weight"]
        if op.groups > 1:
            out["weight"] = (op.groups, first // op.groups, *rest)
        if "bias" in out:
            out["bias"] = (1, op.out_channels, *[1] * rank)
        return out

    return shapes


def grouped_to_plain(rank: int) -> Callable[[Shape], Shape]:
    """Return the function from the shape of a weight in grouped layout to its shape in plain layout."""

    def plain(shape: Shape) -> Shape:
        return (shape[0] * shape[1], *shape[2:]) if len(shape) == rank + 3 else shape

    return plain


def as_convolution(op: Op) -> Convolution:
    """Return `op`, which is known to be a convolution."""
    assert isinstance(op, Convolution)
    return op


def last(op: Convolution, name: str, rank: int) -> tuple[int, ...]:
    """Return a parameter of `op` over the axes its window slides over."""
    numbers: Any = getattr(op, name)
    return tuple(numbers[3 - rank :])

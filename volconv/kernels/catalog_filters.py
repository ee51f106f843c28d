"""Winograd's minimal filters along one axis: which sums of inputs and of taps are multiplied, and what products give.

F(2, 3), for three taps at stride 1, takes 4 products where the direct sum of two outputs takes 6: Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", 2016. At stride 2 the even taps read even inputs and the odd ones odd
inputs, so a filter falls into two at stride 1, and those of two taps are computed by F(2, 2), with 3 products where
the direct sum takes 4: Winograd, "Arithmetic Complexity of Computations", 1980. A transposed filter of stride 2 falls
apart in the same way, by its outputs. Each output depends on its own window alone, for its products cancel nothing.
Along three axes everything is a product of three. Knows nothing of numba.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

FilterName = Literal["one", "three", "three_by_two", "four_by_two", "up_three_by_two", "up_four_by_two"]
Terms = tuple[tuple[int, int], ...]
MOST_VALUES, MOST_OUTPUTS, MOST_TAPS = 2, 2, 4
"""Values of a point, outputs it adds to, and taps of an output, at most."""


@dataclass(frozen=True)
class Filter:
    """How a tile of neighbouring outputs is computed.

    Attributes
    ----------
    values : tuple of ((input, sign), ...)
        What is multiplied: one input, or the sum or difference of two, the first of them positive.
    products : tuple of (value, weight, point)
        Products; those of one point are added up, and follow one another.
    sums : tuple of ((point, sign), ...)
        Each output: the sum, in this order, of points; the first of them positive.
    weights : tuple of tuples of float
        Each weight: what every tap is multiplied with before they are added up.
    taps : tuple of ((input, tap), ...)
        Each output's direct sum, by rising taps.
    stride : int
        Of a forward filter: inputs from what an output reads to what the next one reads, in units of its taps.
    lead : int
        The first input from the tile's first place, for a transposed filter.
    """

    values: tuple[Terms, ...]
    products: tuple[tuple[int, int, int], ...]
    sums: tuple[Terms, ...]
    weights: tuple[tuple[float, ...], ...]
    taps: tuple[Terms, ...]
    stride: int = 1
    lead: int = 0

    @property
    def inputs(self) -> int:
        """Inputs a tile reads."""
        return 1 + max(index for value in self.values for index, _ in value)

    @property
    def points(self) -> int:
        """Sums of products."""
        return 1 + self.products[-1][2]

    @property
    def planes(self) -> int:
        """Values that a point takes, at most."""
        return max(sum(point == n for *_, point in self.products) for n in range(self.points))

    @property
    def outputs(self) -> int:
        """Outputs of a tile."""
        return len(self.sums)

    @property
    def direct_products(self) -> int:
        """Products that the direct sums of a tile take."""
        return sum(len(taps) for taps in self.taps)


FILTERS: Mapping[FilterName, Filter] = {
    "one": Filter(
        values=(((0, 1),), ((1, 1),)),
        products=((0, 0, 0), (1, 0, 1)),
        sums=(((0, 1),), ((1, 1),)),
        weights=((1,),),
        taps=(((0, 0),), ((1, 0),)),
    ),
    "three": Filter(
        values=(((0, 1), (2, -1)), ((1, 1), (2, 1)), ((2, 1), (1, -1)), ((1, 1), (3, -1))),
        products=((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)),
        sums=(((0, 1), (1, 1), (2, 1)), ((1, 1), (2, -1), (3, -1))),
        weights=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        taps=(((0, 0), (1, 1), (2, 2)), ((1, 0), (2, 1), (3, 2))),
    ),
    "three_by_two": Filter(
        values=(((0, 1), (2, -1)), ((1, 1),), ((2, 1),), ((4, 1), (2, -1)), ((3, 1),)),
        products=((0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 3, 2), (4, 1, 2)),
        sums=(((0, 1), (1, 1)), ((1, 1), (2, 1))),
        weights=((1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1)),
        taps=(((0, 0), (1, 1), (2, 2)), ((2, 0), (3, 1), (4, 2))),
        stride=2,
    ),
    "four_by_two": Filter(
        values=(((0, 1), (2, -1)), ((1, 1), (3, -1)), ((2, 1),), ((3, 1),), ((4, 1), (2, -1)), ((5, 1), (3, -1))),
        products=((0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 3, 1), (4, 4, 2), (5, 5, 2)),
        sums=(((0, 1), (1, 1)), ((1, 1), (2, 1))),
        weights=((1, 0, 0, 0), (0, 1, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1), (0, 0, 1, 0), (0, 0, 0, 1)),
        taps=(((0, 0), (1, 1), (2, 2), (3, 3)), ((2, 0), (3, 1), (4, 2), (5, 3))),
        stride=2,
    ),
    "up_three_by_two": Filter(
        values=(((0, 1), (1, -1)), ((1, 1),), ((2, 1), (1, -1)), ((2, 1),)),
        products=((0, 0, 0), (1, 1, 1), (1, 2, 2), (2, 3, 3), (3, 2, 4)),
        sums=(((0, 1), (1, 1)), ((2, 1),), ((1, 1), (3, 1)), ((4, 1),)),
        weights=((0, 0, 1), (1, 0, 1), (0, 1, 0), (1, 0, 0)),
        taps=(((1, 0), (0, 2)), ((1, 1),), ((2, 0), (1, 2)), ((2, 1),)),
        lead=-1,
    ),
    "up_four_by_two": Filter(
        values=(((0, 1), (1, -1)), ((1, 1),), ((2, 1), (1, -1))),
        products=((0, 0, 0), (0, 1, 1), (1, 2, 2), (1, 3, 3), (2, 4, 4), (2, 5, 5)),
        sums=(((0, 1), (2, 1)), ((1, 1), (3, 1)), ((2, 1), (4, 1)), ((3, 1), (5, 1))),
        weights=((0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0), (0, 1, 0, 0)),
        taps=(((1, 0), (0, 2)), ((1, 1), (0, 3)), ((2, 0), (1, 2)), ((2, 1), (1, 3))),
        lead=-1,
    ),
}
"""By name: a forward filter's taps and its stride, a transposed one's behind ``up``; one tap is one either way."""

_FORWARD: Mapping[tuple[int, int], FilterName] = {
    (1, 1): "one", (3, 1): "three", (3, 2): "three_by_two", (4, 2): "four_by_two",
}  # fmt: skip
_UP: Mapping[tuple[int, int], FilterName] = {(1, 1): "one", (3, 2): "up_three_by_two", (4, 2): "up_four_by_two"}


def find_filters(
    kernel_size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], transposed: bool = False
) -> tuple[FilterName, ...]:
    """Return the filters of a layer's three axes, or none if an axis has none."""
    known = _UP if transposed else _FORWARD
    names: list[FilterName] = []
    for size, step, apart in zip(kernel_size, stride, dilation, strict=True):
        name = known.get((size, step))
        if name is None or (apart > 1 and name not in ("one", "three")):
            return ()
        names.append(name)
    return tuple(names)


def count_products(names: tuple[FilterName, ...]) -> tuple[int, int]:
    """Return how many products a tile takes for each pair of channels, and how many its direct sums would."""
    filters = [FILTERS[name] for name in names]
    return prod(len(f.products) for f in filters), prod(f.direct_products for f in filters)


def count_transforms(names: tuple[FilterName, ...]) -> tuple[int, int]:
    """Return how many values of each input channel, and points of each output channel, a tile has."""
    filters = [FILTERS[name] for name in names]
    return prod(len(f.values) for f in filters), prod(f.points for f in filters)

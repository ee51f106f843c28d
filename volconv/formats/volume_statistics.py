"""Figures of float32 values that come in any pieces and any order, exact: the same bits however they were cut.

Each collector takes values a block at a time (`add`), as often over as `passes` says (`next_pass` in between).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 18
"""Values a collector is given at once, at most; what it allocates beside is a small multiple of them."""
WORK_BYTES = 48 * BLOCK
"""What a collector takes for a block."""

_KEPT_BITS = 30
_HEADROOM_BITS = 52 - _KEPT_BITS
_BINS = 1 << 16


class Collector(Protocol):
    """Gathers figures of one channel."""

    passes: int
    count: int
    nbytes: int
    """Held between blocks."""

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in at most `BLOCK` finite values."""

    def next_pass(self) -> None:
        """Get ready to be given all values once more."""


def exact_sum(values: NDArray[np.float64]) -> Fraction:
    """Return the sum of `values`, at most 2**22 of them, without any rounding; `values` are used up.

    In each round the leading bits of all values, down to a power of two common to them, are split off by adding and
    subtracting a constant (Rump, Ogita and Oishi 2008): their sum fits float64 in whatever order it is taken. A round
    takes 30 bits, so that two or three see to the end of most data.
    """
    total = Fraction(0)
    while values.size:
        top = max(float(values.max()), -float(values.min()))
        if top == 0:
            break
        pivot = math.ldexp(1.5, math.frexp(top)[1] + _HEADROOM_BITS)
        leading = values + pivot
        leading -= pivot
        total += Fraction(float(leading.sum()))
        values -= leading
    return total


class Moments:
    """Count, mean and population standard deviation."""

    passes = 1
    nbytes = 0

    def __init__(self) -> None:
        self.count = 0
        self._sum = Fraction(0)
        self._squares = Fraction(0)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in finite values."""
        self.count += values.size
        wide = values.astype(np.float64)
        squares = wide * wide  # 48 bits: exact
        self._sum += exact_sum(wide)
        self._squares += exact_sum(squares)

    def next_pass(self) -> None:
        """Do nothing: there is one."""

    @property
    def mean(self) -> float:
        """The mean, rounded once."""
        return float(self._sum / self.count)

    @property
    def deviation(self) -> float:
        """The population standard deviation: the root of the exact variance, rounded once to float64."""
        return math.sqrt(float(self._squares / self.count - (self._sum / self.count) ** 2))


class Extremes:
    """The smallest and the largest value."""

    passes = 1
    nbytes = 0

    def __init__(self) -> None:
        self.count = 0
        self.minimum = math.inf
        self.maximum = -math.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in finite values."""
        if values.size:
            self.count += values.size
            self.minimum = min(self.minimum, float(values.min()))
            self.maximum = max(self.maximum, float(values.max()))

    def next_pass(self) -> None:
        """Do nothing: there is one."""


class Quantiles:
    """Percentiles by ``numpy.percentile``'s linear method, found by counting: no value is kept.

    float32 bits, with those of negative numbers turned over, are whole numbers in the order of the values. The first
    pass counts their upper halves, which says in which of 65536 bins each wanted rank lies; the second counts the lower
    halves of the values in those bins.

    Parameters
    ----------
    percentages : sequence of float
        From 0 to 100.
    """

    passes = 2

    def __init__(self, *percentages: float) -> None:
        self.count = 0
        self.nbytes = 8 * _BINS * (1 + 2 * len(percentages))
        self._percentages = np.array(percentages, np.float64)
        self._upper = np.zeros(_BINS, np.int64)
        self._lower: dict[int, NDArray[np.int64]] = {}
        self._ranks: dict[int, tuple[int, int]] = {}
        """Rank to its bin, and its rank among the values of that bin."""

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in finite values."""
        keys = ordered_bits(values)
        upper = keys >> np.uint32(16)
        if not self._lower:
            self.count += values.size
            self._upper += np.bincount(upper, minlength=_BINS)
            return
        for bin_, counts in self._lower.items():
            inside = keys[upper == bin_] & np.uint32(_BINS - 1)
            counts += np.bincount(inside, minlength=_BINS)

    def next_pass(self) -> None:
        """Find the bins of the wanted ranks."""
        if not self.count:
            return
        below = np.cumsum(self._upper)
        for rank in sorted({int(rank) for pair in self._neighbours()[:2] for rank in pair}):
            bin_ = int(np.searchsorted(below, rank, side="right"))
            self._ranks[rank] = (bin_, rank - int(below[bin_] - self._upper[bin_]))
            self._lower.setdefault(bin_, np.zeros(_BINS, np.int64))

    def _neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the ranks on both sides of each percentile, and how far it lies between them."""
        places = (self.count - 1) * (self._percentages / 100)
        low = np.minimum(np.floor(places).astype(np.int64), self.count - 1)
        return low, np.minimum(low + 1, self.count - 1), places - low

    def _value(self, rank: int) -> np.float32:
        bin_, inside = self._ranks[rank]
        lower = int(np.searchsorted(np.cumsum(self._lower[bin_]), inside, side="right"))
        return value_of_bits(bin_ << 16 | lower)

    @property
    def values(self) -> NDArray[np.float64]:
        """The percentiles as they were asked for: those of ``numpy.percentile(x, percentages)``, to the bit."""
        low, high, between = self._neighbours()
        a = np.array([self._value(int(rank)) for rank in low])
        b = np.array([self._value(int(rank)) for rank in high])
        step = b - a  # in float32, as NumPy takes it
        found: NDArray[np.float64] = np.where(between >= 0.5, b - step * (1 - between), a + step * between)
        return found


def ordered_bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return whole numbers that are in the order of the float32 `values`."""
    signs = values.view(np.int32) >> 31
    return values.view(np.uint32) ^ (signs.view(np.uint32) | np.uint32(1 << 31))


def value_of_bits(key: int) -> np.float32:
    """Return the value whose `ordered_bits` are `key`."""
    bits = key ^ (1 << 31) if key >> 31 else key ^ (2**32 - 1)
    value: Any = np.array([bits], np.uint32).view(np.float32)[0]
    return value  # type: ignore[no-any-return]

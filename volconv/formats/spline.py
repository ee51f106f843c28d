"""Which voxels a resampled one is made of along an axis, and how much of each: `scipy.ndimage.map_coordinates`' rules.

Splines of order 2 and more interpolate: their coefficients are the values put through a recursive filter over whole
axes (Unser, Aldroubi and Eden 1993). That filter is the sum of two-sided decaying exponentials; here it is cut where
they are below 2**-60 of their peak, far less than float64's last bit, and folded into the weights. So a voxel follows
from its neighbourhood alone, by one sum in a fixed order, and windows of any size give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, comb, factorial, fsum, log, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EDGE = 12
"""Voxels by which SciPy continues an axis with its end values before it filters (mode ``nearest``)."""
_CUT = 60 * log(2)
_POLES = {
    2: (sqrt(8) - 3,),
    3: (sqrt(3) - 2,),
    4: (sqrt(664 - sqrt(438976)) + sqrt(304) - 19, sqrt(664 + sqrt(438976)) - sqrt(304) - 19),
    5: (sqrt(67.5 - sqrt(4436.25)) + sqrt(26.25) - 6.5, sqrt(67.5 + sqrt(4436.25)) - sqrt(26.25) - 6.5),
}


@dataclass(frozen=True, eq=False)
class Taps:
    """How the voxels of an axis follow from those of another.

    Attributes
    ----------
    indices : (m, T) int array
        For each new voxel the old ones it is made of.
    weights : (m, T) float64 array
        Their shares; the sum is taken in the order of T.
    outside : (m,) bool array
        New voxels more than half an old one beyond the first or the last.
    order : int
        Of the spline.
    step : float
        Old voxels from one new voxel to the next.
    """

    indices: NDArray[np.int64]
    weights: Floats
    outside: NDArray[np.bool_]
    order: int
    step: float = 1.0

    @property
    def is_copy(self) -> bool:
        """Whether each new voxel is one old voxel."""
        return bool(self.indices.shape[1] == 1)


def make_taps(positions: Floats, length: int, order: int) -> Taps:
    """Return the taps of new voxels at `positions`, in voxels of an axis of `length`.

    Beyond its ends the axis goes on with its end values (``mode="nearest"``).
    """
    step = float(positions[-1] - positions[0]) / max(1, len(positions) - 1)
    outside = (positions < -0.5) | (positions > length - 0.5)
    if order < 2:
        inside = np.clip(positions, 0, length - 1)
        if order == 0:
            nearest = np.floor(inside + 0.5).astype(np.int64)[:, None]
            return Taps(nearest, np.ones(nearest.shape), outside, order, step)
        low = np.floor(inside).astype(np.int64)
        share = inside - low
        indices = np.stack([low, np.minimum(low + 1, length - 1)], axis=1)
        return Taps(indices, np.stack([1 - share, share], axis=1), outside, order, step)
    first = np.floor(positions + (0 if order % 2 else 0.5)).astype(np.int64) - order // 2
    basis = [_b_spline(positions - (first + tap), order) for tap in range(order + 1)]
    inverse = _inverse_filter(order)
    radius = len(inverse) // 2
    weights = np.zeros((len(positions), order + 2 * radius + 1))
    for tap, values in enumerate(basis):
        weights[:, tap : tap + len(inverse)] += values[:, None] * inverse
    indices = first[:, None] - radius + np.arange(weights.shape[1])
    return Taps(_extend(indices, length), weights, outside, order, step)


def copy_taps(length: int) -> Taps:
    """Return the taps of an axis that stays as it is."""
    indices = np.arange(length, dtype=np.int64)[:, None]
    return Taps(indices, np.ones((length, 1)), np.zeros(length, np.bool_), 0)


def _b_spline(x: Floats, order: int) -> Floats:
    """Return the centred B-spline of `order` at `x`, by its truncated powers on the shorter side."""
    left = (order + 1) / 2 - np.abs(x)
    out = np.zeros_like(x)
    for k in range(order + 1):
        base = np.maximum(left - k, 0)
        power = base
        for _ in range(order - 1):  # a power function may round differently on another processor
            power = power * base
        out += (-1) ** k * comb(order + 1, k) * power
    return out / factorial(order)


def _inverse_filter(order: int) -> Floats:
    """Return the two-sided filter from values to B-spline coefficients, its sum 1."""
    out = [1.0]
    for pole in _POLES[order]:
        decay = [(1 - pole) / (1 + pole)]
        for _ in range(ceil(_CUT / -log(-pole))):
            decay.append(decay[-1] * pole)
        out = _convolve(out, decay[:0:-1] + decay)
    return np.array(out)


def _convolve(one: list[float], other: list[float]) -> list[float]:
    sums: list[list[float]] = [[] for _ in range(len(one) + len(other) - 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            sums[i + j].append(a * b)
    return [fsum(terms) for terms in sums]


def _extend(indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return the voxel that stands at each index: the axis, 12 end values on both sides, all that mirrored for ever."""
    padded = length + 2 * _EDGE
    folded = (indices + _EDGE) % (2 * padded)
    folded = np.minimum(folded, 2 * padded - 1 - folded)
    return np.clip(folded - _EDGE, 0, length - 1)

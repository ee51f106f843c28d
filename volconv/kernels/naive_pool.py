"""Pooling, written for reading, as `naive` has the other operators: float64, whole volumes (C, D, H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def max_pool3d(
    x: ArrayLike,
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Floats:
    """Return the largest voxel of each window: NaN if one is, -inf of none.

    Parameters
    ----------
    x : (C, D, H, W) array
    shape : 3 ints
        D, H, W of the result.
    kernel, stride, padding, dilation : 3 ints
        Window p holds the voxels ``p*stride - padding + t*dilation`` that are there, t below `kernel`.

    Returns
    -------
    (C, *shape) array
    """
    x = np.asarray(x, np.float64)
    out = np.full((x.shape[0], *shape), -np.inf)
    for tap in product(*map(range, kernel)):
        values, there = _taken(x, shape, tap, stride, padding, dilation)
        out = np.where(there, np.maximum(out, values), out)  # np.maximum hands NaN on
    return out


def avg_pool3d(
    x: ArrayLike,
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: tuple[Sequence[int], Sequence[int]],
    dilation: Sequence[int],
    include_pad: bool = True,
    divisor: int = 0,
) -> Floats:
    """Return the sum of each window over the number of its taps, or over `divisor` unless that is 0.

    Parameters
    ----------
    x, shape, kernel, stride, dilation
        As for `max_pool3d`.
    padding : low and high, 3 ints each
    include_pad : bool
        Whether taps in the padding count.
    """
    x = np.asarray(x, np.float64)
    low, high = padding
    total, count = np.zeros((x.shape[0], *shape)), np.zeros((1, *shape))
    wide = np.ones((1, *(n + a + b for n, a, b in zip(x.shape[1:], low, high, strict=True))))
    for tap in product(*map(range, kernel)):
        values, there = _taken(x, shape, tap, stride, low, dilation)
        total += np.where(there, values, 0.0)
        count += _taken(wide, shape, tap, stride, (0, 0, 0), dilation)[1] if include_pad else there
    with np.errstate(invalid="ignore"):
        return total / (divisor or count)


def _taken(
    x: Floats,
    shape: Sequence[int],
    tap: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what `tap` brings to each window, and whether it lies in the volume."""
    places = [np.arange(n) * s - p + t * d for n, s, p, t, d in zip(shape, stride, padding, tap, dilation, strict=True)]
    d, h, w = (np.clip(at, 0, n - 1) for at, n in zip(places, x.shape[1:], strict=True))
    z, y, v = ((at >= 0) & (at < n) for at, n in zip(places, x.shape[1:], strict=True))
    return x[:, d[:, None, None], h[:, None], w], z[:, None, None] & y[:, None] & v

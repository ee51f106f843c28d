"""Resampling, written for reading, as `naive` has the other operators: float64, whole volumes (C, D, H, W)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def resample(x: ArrayLike, axes: Sequence[tuple[Ints, Ints, Floats]]) -> Floats:
    """Return ``(1 - share)·x[low] + share·x[high]`` along each axis after the channels, one after the other.

    Parameters
    ----------
    x : (C, D, H, W) array
    axes : sequence of (low, high, share)
        One an axis, each as long as the result is there; where `share` is 0, the value is that of `low`.
    """
    out = np.asarray(x, np.float64)
    for axis, (low, high, share) in enumerate(axes, 1):
        part = share.reshape(-1, *[1] * (out.ndim - 1 - axis))
        near, far = np.take(out, low, axis), np.take(out, high, axis)
        with np.errstate(invalid="ignore"):
            out = np.where(part == 0, near, near * (1 - part) + far * part)
    return out


def pixel_shuffle3d(x: ArrayLike, factors: Sequence[int], *, phase_first: bool = False) -> Floats:
    """Return channels spread over blocks of `factors` voxels: (C·rd·rh·rw, D, H, W) to (C, D·rd, H·rh, W·rw).

    Output channel c at place (i, j, k) of a block comes from input channel ``((c·rd + i)·rh + j)·rw + k``, or with
    `phase_first` from ``((i·rh + j)·rw + k)·C + c``.
    """
    x = np.asarray(x, np.float64)
    rd, rh, rw = factors
    _, d, h, w = x.shape
    split = x.reshape(rd, rh, rw, -1, d, h, w) if phase_first else np.moveaxis(x.reshape(-1, rd, rh, rw, d, h, w), 0, 3)
    return split.transpose(3, 4, 0, 5, 1, 6, 2).reshape(-1, d * rd, h * rh, w * rw)

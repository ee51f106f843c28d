"""Float64 NumPy twins of what needs the whole volume: norms by its own statistics, and pools to one voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .naive import batch_norm

Floats = NDArray[np.float64]


def group_norm(
    x: ArrayLike, groups: int, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> Floats:
    """Return ``(x - mean)/sqrt(variance + eps)·weight + bias`` of x (C, D, H, W), each group by its statistics."""
    x = np.asarray(x, np.float64)
    parts = x.reshape(groups, -1)
    size = x.shape[0] // groups
    mean, variance = (np.repeat(found, size) for found in (parts.mean(axis=1), parts.var(axis=1)))
    return batch_norm(x, mean, variance, weight, bias, eps)


def global_pool(x: ArrayLike, kind: str) -> Floats:
    """Return the mean (``average``) or the largest value (``max``) of each channel of x (C, D, H, W), (C, 1, 1, 1)."""
    x = np.asarray(x, np.float64)
    out: Floats = (np.mean if kind == "average" else np.max)(x, axis=(1, 2, 3), keepdims=True)
    return out

"""What the stages from scores to label maps compute, written for reading: float64 and NumPy, whole volumes.

The oracles of `softmax`, `argmax`, `remap` and `components`. Volumes are (C, D, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def softmax(x: ArrayLike, *, log: bool = False) -> Floats:
    """Return ``exp(x - m)/Σ exp(x - m)`` over channels, m their largest, or its logarithm.

    https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html
    """
    x = np.asarray(x, np.float64)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(axis=0)
        total = np.exp(shifted).sum(axis=0)
        out: Floats = shifted - np.log(total) if log else np.exp(shifted) / total
    out[:, np.isnan(total)] = np.nan
    return out


def argmax(x: ArrayLike, *, last: bool = False) -> Floats:
    """Return the number of the largest channel, (1, D, H, W): the first of equal ones, or the last; NaN is largest."""
    x = np.asarray(x, np.float64)
    number = len(x) - 1 - np.argmax(x[::-1], axis=0) if last else np.argmax(x, axis=0)
    return np.asarray(number[None], np.float64)


def remap(x: ArrayLike, labels: Mapping[int, int]) -> Floats:
    """Return `x` with every value that is a key of `labels` replaced by its value."""
    x = np.asarray(x, np.float64)
    out = x.copy()
    for old, new in labels.items():
        out[x == old] = new
    return out


def components(same: NDArray[Any], connectivity: int) -> NDArray[np.int64]:
    """Return the number of the connected component of each voxel of a mask (D, H, W), 0 outside the mask.

    Each voxel takes the smallest number among its neighbours in the mask until nothing changes; components are then
    numbered 1, 2, … in the order of their first voxels.

    Parameters
    ----------
    same : (D, H, W) bool array
    connectivity : {6, 18, 26}
        Neighbours share a face, at most an edge, at most a corner.
    """
    most = {6: 1, 18: 2, 26: 3}[connectivity]
    far = same.size
    number = np.where(same, np.arange(far).reshape(same.shape), far)
    offsets = [o for o in np.ndindex(3, 3, 3) if 0 < sum(abs(n - 1) for n in o) <= most]
    while True:
        wide = np.pad(number, 1, constant_values=far)
        windows = [wide[tuple(slice(n, n + size) for n, size in zip(o, same.shape, strict=True))] for o in offsets]
        smaller = np.where(same, np.minimum.reduce([number, *windows]), far)
        if (smaller == number).all():
            break
        number = smaller
    firsts = np.unique(number[same])
    out = np.zeros(same.shape, np.int64)
    out[same] = np.searchsorted(firsts, number[same]) + 1
    return out


def largest_component(labels: ArrayLike, connectivity: int = 26) -> Floats:
    """Return a label map (1, D, H, W) in which every label keeps its largest component; the first of equal ones."""
    volume = np.asarray(labels, np.float64)[0]
    out: Floats = np.zeros(volume.shape)
    for label in np.unique(volume[volume > 0]):
        parts = components(volume == label, connectivity)
        largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        out[parts == largest] = label
    return np.expand_dims(out, 0)


def fill_holes(labels: ArrayLike) -> Floats:
    """Return a label map (1, D, H, W) whose holes are filled.

    A hole of a label is a part of everything else, connected through faces, that reaches no border of the volume; an
    axis of one voxel has no border. Its background becomes that label, other labels inside keep theirs. Background in
    holes of several labels, one around the other, takes the innermost.
    """
    volume: Floats = np.asarray(labels, np.float64)[0]
    size_of = np.full(volume.shape, volume.size + 1)
    out: Floats = volume.copy()
    for label in np.unique(volume[volume > 0]):
        parts = components(volume != label, 6)
        open_parts = {int(n) for side in _faces(parts) for n in np.unique(side)}
        for part in set(range(1, int(parts.max()) + 1)) - open_parts:
            inside = parts == part
            fills = inside & (volume == 0) & (size_of > inside.sum())
            out[fills], size_of[fills] = label, inside.sum()
    return np.expand_dims(out, 0)


def _faces(volume: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the first and the last plane along every axis of more than one voxel."""
    return [np.take(volume, [0, -1], axis) for axis in range(3) if volume.shape[axis] > 1]

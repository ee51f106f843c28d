"""Copies between arrays whose fastest axes differ, in tiles that stay in a processor's cache.

NumPy walks along the target's fastest axis and strides through the source. Where strides are powers of two, as
images have them, a few cache sets take every access; a tile with padded rows in between breaks that. Measured on
64 x 256 x 256 float32: 4 ns a voxel, 24 without.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLANES = 16
"""How many planes to hand over at a time, at least: fewer would leave parts of cache lines unused."""

_RUN = 64
"""Voxels along each of the two axes that are swapped, in a tile."""

_MIDDLE = 8
_PADDING = 16
TILE_BYTES = _RUN * (_RUN * _MIDDLE + _PADDING) * 8


def is_turned(array: NDArray[Any]) -> bool:
    """Whether the first of three axes is faster than the last."""
    return abs(array.strides[0]) < abs(array.strides[2])


def fill_turned(out: NDArray[Any], fill: Callable[[tuple[slice, ...], NDArray[Any]], object]) -> None:
    """Fill `out`, whose first of three axes is the fastest, from a source whose last axis is.

    Parameters
    ----------
    out : array of three axes
    fill : callable
        ``fill(where, tile)`` writes the source's part ``where`` into `tile`, an array of the type of `out` whose last
        axis is the fastest.
    """
    tile = np.empty(_RUN * (_RUN * _MIDDLE + _PADDING), dtype=out.dtype)
    size = out.dtype.itemsize
    steps = (_RUN, _MIDDLE, _RUN)
    for corner in product(*(range(0, n, step) for n, step in zip(out.shape, steps, strict=True))):
        where = tuple(slice(a, min(a + s, n)) for a, s, n in zip(corner, steps, out.shape, strict=True))
        target = out[where]
        _, middle, last = target.shape
        part = np.ndarray(target.shape, out.dtype, tile, 0, ((last * middle + _PADDING) * size, last * size, size))
        fill(where, part)
        target[...] = part


def as_ordered(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `array` (of three axes) as `dtype` with its last axis the fastest, itself if it is so already."""
    if not is_turned(array):
        return np.ascontiguousarray(array, dtype=dtype)
    out = np.empty(array.shape, dtype=dtype)
    turned = array.transpose(2, 1, 0)
    fill_turned(out.transpose(2, 1, 0), lambda where, tile: np.copyto(tile, turned[where]))
    return out

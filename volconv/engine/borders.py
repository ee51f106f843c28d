"""Fills what a buffer stores beyond its wire's domain: the padding rule, applied at the volume's border only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops.base import source_index
from ..region import Region


def fill_borders(values: NDArray[Any], box: Region, inner: Region, mode: str | None, shape: tuple[int, ...]) -> None:
    """Make every voxel of `values` that lies in `box` but not in `inner`.

    Parameters
    ----------
    values : (C, d, h, w) array
        Holds `box`; written in place.
    box, inner : Region
        What is stored, and what is filled already.
    mode : str or None
        zeros, reflect, replicate or circular; None: the reader never looks outside.
    shape : tuple of int
        The domain's D, H, W.
    """
    if mode is None or box == inner:
        return
    if inner.is_empty:
        values[...] = 0
        return
    # axis by axis: each fills full slabs over the axes done before, and only the filled part of those to come
    for axis in range(3):
        part: list[slice] = [slice(None)] + [slice(None)] * axis + [slice(None)] * (3 - axis)
        for later in range(axis + 1, 3):
            part[1 + later] = slice(inner.start[later] - box.start[later], inner.stop[later] - box.start[later])
        low, high = inner.start[axis] - box.start[axis], inner.stop[axis] - box.start[axis]
        for a, b in ((0, low), (high, box.stop[axis] - box.start[axis])):
            if a < b:
                _fill_slab(values, tuple(part), axis, a, b, box.start[axis], mode, shape[axis])


def _fill_slab(
    values: NDArray[Any], part: tuple[Any, ...], axis: int, a: int, b: int, start: int, mode: str, length: int
) -> None:
    at = (*part[: 1 + axis], slice(a, b), *part[2 + axis :])
    if mode == "zeros":
        values[at] = 0
        return
    index = source_index(np.arange(start + a, start + b), length, mode) - start
    for n, source in enumerate(index.tolist()):
        values[(*part[: 1 + axis], a + n, *part[2 + axis :])] = values[(*part[: 1 + axis], source, *part[2 + axis :])]

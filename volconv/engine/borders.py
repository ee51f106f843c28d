"""Fills what a buffer stores beyond its wire's domain: the padding rule, applied at the volume's border only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops.base import source_index
from ..region import Region


def fill_borders(values: NDArray[Any], box: Region, inner: Region, mode: str | None, shape: tuple[int, ...]) -> None:
    """Make the voxels of `values` that lie in `box` but not in `inner`.

    Where windows of several readers are joined, `box` may hold voxels that none of them asked for, made from others
    than `inner` has: those are left as they are.

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
                wanted = np.arange(box.start[axis] + a, box.start[axis] + b)
                sources = None if mode == "zeros" else source_index(wanted, shape[axis], mode) - box.start[axis]
                _fill_slab(values, tuple(part), axis, range(a, b), sources, range(low, high))


def _fill_slab(
    values: NDArray[Any],
    part: tuple[slice, ...],
    axis: int,
    targets: range,
    sources: NDArray[Any] | None,
    filled: range,
) -> None:
    """Fill the planes `targets` of `axis`, with zeros or from the planes `sources` as far as they are `filled`."""
    before: tuple[Any, ...] = part[: 1 + axis]
    behind = part[2 + axis :]
    if sources is None:
        values[(*before, slice(targets.start, targets.stop), *behind)] = 0
        return
    for target, source in zip(targets, sources.tolist(), strict=True):
        if source in filled:
            values[(*before, target, *behind)] = values[(*before, source, *behind)]

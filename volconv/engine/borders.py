"""Fills what a buffer stores beyond its wire's domain: the padding rule, applied at the volume's border only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.borders import LEAVE, ZERO, run_fill
from ..ops.base import source_index
from .arena import View


def fill_borders(flat: NDArray[Any], view: View, mode: str | None, shape: tuple[int, ...]) -> None:
    """Make the voxels that lie in the box of `view` but not in its inner part.

    Where windows of several readers are joined, the box may hold voxels that none of them asked for, made from others
    than the inner part has: those are left as they are.

    Parameters
    ----------
    flat : flat array
        The memory `view` lies in; written in place.
    view : View
        What is stored, and what is filled already.
    mode : str or None
        zeros, reflect, replicate or circular; None: the reader never looks outside.
    shape : tuple of int
        The domain's D, H, W.
    """
    box, inner = view.box, view.inner
    if mode is None or box == inner or box.is_empty:
        return
    axes = zip(box.start, box.stop, inner.start, inner.stop, shape, strict=True)
    if inner.is_empty:
        sources = [np.full(b - a, ZERO) for a, b in zip(box.start, box.stop, strict=True)]
    else:
        sources = [_sources(mode, *bounds) for bounds in axes]
    run_fill(flat, view.start, view.steps, box.shape, view.channels, sources)


def _sources(mode: str, start: int, stop: int, first: int, last: int, length: int) -> NDArray[np.int64]:
    """Return for each place of ``[start, stop)`` which to copy, counted from `start`; ``[first, last)`` is given."""
    places = np.arange(start, stop)
    if mode == "zeros":
        return np.where((places >= first) & (places < last), places - start, ZERO)
    wanted = np.where((places >= first) & (places < last), places, source_index(places, length, mode))
    return np.where((wanted >= first) & (wanted < last), wanted - start, LEAVE)

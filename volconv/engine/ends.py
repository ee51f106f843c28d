"""Arrays in memory at both ends of a run: the engine reads them and writes them itself, in parallel and once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..plan.model import Plan, Tile
from ..region import Region
from .arena import View

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Ends:
    """The arrays of one volume.

    Attributes
    ----------
    volume : (C, D, H, W) array or None
        The input; None where it is not of a form that kernels can read.
    results : mapping
        Every output's name to the (C, d, h, w) array to fill: C-contiguous and of the arena's type.
    """

    volume: Array | None
    results: Mapping[str, Array]

    def source(self) -> View | None:
        """Return the input as it lies in its own memory; None where there is none."""
        return None if self.volume is None else view_array(self.volume)

    def targets(self, plan: Plan, tile: Tile, views: Mapping[str, View]) -> dict[str, View]:
        """Return the buffers of `tile` that can lie in the results themselves, and how they lie there.

        Such a buffer is read by nobody but the writer, and holds what is written of it and nothing more.
        """
        found = {}
        for step in plan.steps:
            name = step.sources[0] if step.kind == "write" else ""
            if not name or sum(name in other.sources for other in plan.steps) > 1:
                continue
            view, region = views[name], tile.writes[step.node]
            if not region.is_empty and view.box == view.inner == region and view.steps[3] == 1:
                found[name] = within(view_array(self.results[step.node]), region)
        return found


def view_array(array: Array) -> View:
    """Return how a (C, D, H, W) array lies in the memory it spans."""
    rising = array[tuple(slice(None, None, -1 if step < 0 else 1) for step in array.strides)]
    low, high = byte_bounds(array)
    size = array.dtype.itemsize
    flat = as_strided(rising, ((high - low) // size,), (size,), writeable=array.flags.writeable)
    steps = tuple(step // size for step in array.strides)
    start = sum((n - 1) * -step for n, step in zip(array.shape, steps, strict=True) if step < 0)
    box = Region((0, 0, 0), array.shape[1:])
    return View(start, (steps[0], steps[1], steps[2], steps[3]), box, box, array.shape[0], flat)


def within(view: View, region: Region) -> View:
    """Return the part of `view` that holds `region`."""
    return View(view.at(region.start), view.steps, region, region, view.channels, view.flat)


def is_readable(array: Array, dtype: np.dtype[Any]) -> bool:
    """Return whether kernels of `dtype` can read `array` where it lies: its type, byte order and steps in elements."""
    whole = all(step % dtype.itemsize == 0 for step in array.strides)
    return array.dtype == dtype and array.dtype.isnative and bool(array.flags.aligned) and whole and array.size > 0

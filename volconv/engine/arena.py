"""One piece of memory for all buffers of all tiles, allotted once: first touches cost more than many convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Triple
from ..plan.memory import ROW, begins_rows_at_lines, row_length
from ..plan.model import Buffer, Plan
from ..region import Region

_CACHE_LINE = 64
Steps = tuple[int, int, int, int]
"""Elements between neighbours along C, D, H, W."""


@dataclass(frozen=True)
class View:
    """One buffer as it lies for one tile.

    Attributes
    ----------
    start : int
        Element of `flat` that holds channel 0 of the first voxel of `box`.
    steps : tuple of int
        Elements between neighbours along C, D, H, W.
    box, inner : Region
        What is stored, and the part that is computed, read or copied, in voxels of the buffer's wire.
    channels : int
        Channels stored.
    flat : array
        The memory it lies in: the arena, or an array of the caller's.
    """

    start: int
    steps: Steps
    box: Region
    inner: Region
    channels: int
    flat: NDArray[Any] = field(repr=False, compare=False)

    def at(self, voxel: tuple[int, ...]) -> int:
        """Return the element of channel 0 of `voxel` (D, H, W of the wire, not of the box)."""
        return self.start + sum((v - b) * s for v, b, s in zip(voxel, self.box.start, self.steps[1:], strict=True))


def allot(elements: int, dtype: Any) -> NDArray[Any]:
    """Return fresh memory that begins at a cache line: a vector that straddles two costs two loads."""
    itemsize = np.dtype(dtype).itemsize
    room = np.empty(elements + _CACHE_LINE // itemsize, dtype)
    start = -room.ctypes.data % _CACHE_LINE // itemsize
    return room[start : start + elements]


class Arena:
    """The memory of a plan's buffers."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._buffers: dict[str, Buffer] = {buffer.name: buffer for buffer in plan.buffers}
        dtype = np.float64 if plan.graph.input.dtype == "float64" else np.float32
        # np.empty asks for huge pages; pages are touched by the first tile, those no tile needs never are
        self.flat = allot(plan.arena_bytes // np.dtype(dtype).itemsize, dtype)

    def view(self, name: str, cell: Triple, slot: int = 0) -> View:
        """Return how buffer `name` lies for the tile at `cell`; `slot`, 0 or 1, where it has two."""
        buffer = self._buffers[name]
        box = self._plan.box(name, cell)
        inner = self._plan.inner(name, cell)
        d, h, w = box.shape
        c = buffer.channels
        start = self._plan.offsets[name] + slot * self._plan.slots.get(name, 0)
        if buffer.layout == "last":
            return View(start, (1, h * w * c, w * c, c), box, inner, c, self.flat)
        row = row_length(buffer, w)
        if begins_rows_at_lines(buffer, w):
            start += (box.start[2] - inner.start[2]) % ROW
        return View(start, (d * h * row, h * row, row, 1), box, inner, c, self.flat)

    def array(self, view: View, region: Region | None = None, channels: int | None = None) -> NDArray[Any]:
        """Return the values of `region` (default: the whole box) as an array (C, d, h, w) without a copy."""
        part = view.box if region is None else region
        shape = (channels or view.channels, *part.shape)
        start = view.at(part.start) if not part.is_empty else view.start
        flat, size = view.flat, view.flat.itemsize
        strides = tuple(step * size for step in view.steps)
        return np.ndarray(shape, flat.dtype, flat, start * size, strides)

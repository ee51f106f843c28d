"""Wires that lie between phases: whole, in memory or in the scratch file, in the layout the kernels wrote."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.scratch_file import ScratchFile
from ..plan.memory import SLACK
from ..plan.model import Store
from ..region import Region
from .arena import View, allot

Array = NDArray[Any]


class MemoryStore:
    """A wire in memory; `view` is how it lies there."""

    def __init__(self, store: Store, dtype: Any) -> None:
        d, h, w = store.shape
        c = store.channels
        steps = (d * h * w, h * w, w, 1) if store.layout == "first" else (1, h * w * c, w * c, c)
        whole = Region((0, 0, 0), store.shape)
        self.view = View(0, steps, whole, whole, c, allot(d * h * w * c + SLACK, dtype))

    def fill(self, values: Array) -> None:
        """Set every voxel to `values`, one a channel."""
        array(self.view, self.view.box)[...] = values[:, None, None, None]


class FileStore:
    """A wire in the scratch file, of which regions are read and written from and to views of its own layout."""

    def __init__(self, store: Store, file: ScratchFile, dtype: Any) -> None:
        self._store, self._file = store, file
        self._itemsize = np.dtype(dtype).itemsize
        assert store.offset is not None
        self._offset: int = store.offset

    def read(self, view: View, region: Region) -> None:
        """Fill `region` of `view`, all channels stored."""
        for offset, row in self._rows(view, region):
            self._file.read_into(offset, row)

    def write(self, view: View, region: Region) -> None:
        """Store `region` of `view`, all channels stored."""
        for offset, row in self._rows(view, region):
            self._file.write(offset, row)

    def _rows(self, view: View, region: Region) -> Iterator[tuple[int, memoryview]]:
        """Yield runs that lie side by side in the file and in memory: where in the file, and the bytes in memory."""
        part, store = array(view, region), self._store
        start: tuple[int, ...] = (0, *region.start)
        sizes: tuple[int, ...] = (store.channels, *store.shape)
        if store.layout == "last":
            part, start, sizes = part.transpose(1, 2, 3, 0), (*region.start, 0), (*store.shape, store.channels)
        steps = [int(np.prod(sizes[n + 1 :], dtype=np.int64)) * self._itemsize for n in range(4)]
        run = 3  # axes from here on lie side by side in both
        while run > 0 and part.shape[run] == sizes[run] and part[(0,) * (run - 1)].flags.c_contiguous:
            run -= 1
        base = self._offset + sum(a * s for a, s in zip(start, steps, strict=True))
        for index in product(*(range(n) for n in part.shape[:run])):
            offset = base + sum(i * s for i, s in zip(index, steps, strict=False))
            yield offset, part[index].data.cast("B")


AnyStore = MemoryStore | FileStore


def in_memory_order(view: View, region: Region) -> Array:
    """Return the values of `region` of `view`, all channels stored, without a copy: axes as they lie in memory."""
    values = array(view, region)
    return values.transpose(1, 2, 3, 0) if view.steps[0] == 1 else values


def array(view: View, region: Region, channels: int | None = None) -> Array:
    """Return the values of `region` of `view` as an array (C, d, h, w) without a copy."""
    shape = (channels or view.channels, *region.shape)
    size = view.flat.itemsize
    start = view.at(region.start) if not region.is_empty else view.start
    return np.ndarray(shape, view.flat.dtype, view.flat, start * size, tuple(step * size for step in view.steps))

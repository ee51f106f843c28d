"""Results brought back to the scan's own grid: stored on the grid they were computed on, then resampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Triple
from ..region import Region
from .base import Sink, Source
from .forwarding import ForwardingSink
from .names import HDF5, parse_volume_name
from .stored import StoredVolume
from .windows import window_shape

_WINDOW_BYTES = 4 << 20


class ReturnedSink(ForwardingSink):
    """A sink that takes results on one grid and writes them to `inner` on another.

    A volume is written to `inner` when its last voxel has come, so that everything is there before `finish`.

    Parameters
    ----------
    inner : Sink
    store : StoredVolume
        For one volume's result, as it comes.
    bring : callable
        Returns `store` as a source on the grid of `inner`.
    """

    def __init__(self, inner: Sink, store: StoredVolume, bring: Callable[[Source], Source]) -> None:
        super().__init__(inner)
        self._store = store
        self._back = bring(store)
        self._missing = prod(store.info.shape)
        info, origin = inner.info, inner.info.origin
        self._window = window_shape(
            replace(self._back.info, chunks=None, axes=origin.axes, turned=origin.turned),
            _WINDOW_BYTES // (store.info.dtype.itemsize * info.channels),
            _chunks(inner),
        )

    @property
    def scratch_bytes(self) -> int:
        """Bytes put into scratch or the part file beside the finished output."""
        return self.inner.scratch_bytes + self._store.nbytes - self._store.resident_bytes

    @property
    def resident_bytes(self) -> int:
        """Bytes held from the first `write` to the last."""
        return self._store.resident_bytes

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `write` takes beside `values`: what bringing a volume back takes, mostly."""
        window = prod(self._window) * self.info.channels * self._store.info.dtype.itemsize
        back = window + self._back.window_bytes(self._window) + self.inner.window_bytes(self._window)
        return max(back, self._store.window_bytes(shape))

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Take `values` (C, d, h, w) at `region` of volume `batch`; the last of a volume sends it on its way."""
        self._store.write(region, values)
        self._missing -= region.size
        if self._missing:
            return
        for part in Region.whole(self.info.shape).split(self._window):
            window = np.empty((self.info.channels, *part.shape), self._store.info.dtype)
            self._back.read(part, window)
            self.inner.write(part, window, batch)
        self._store.close()
        self._missing = prod(self._store.info.shape)

    def abort(self) -> None:
        """Remove what was begun."""
        self._store.close()
        self.inner.abort()


def _chunks(sink: Sink) -> Triple | None:
    """Return the blocks that the file of `sink` is written in; None where planes suit it."""
    if sink.path is None or parse_volume_name(sink.path).format != HDF5:
        return None
    from .hdf5_chunks import chunk_shape

    return chunk_shape(sink.info.shape)

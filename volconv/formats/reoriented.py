"""A volume whose axes are swapped and flipped, as a source and as a sink; voxels stay where they are in the world."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from ..region import Region
from ..volume import VolumeInfo
from .base import Sink, Source
from .forwarding import ForwardingSink, ForwardingSource
from .orientation import Turn


class ReorientedSource(ForwardingSource):
    """A source after `turn`; windows are read through views, nothing is copied beside."""

    def __init__(self, inner: Source, turn: Turn) -> None:
        super().__init__(inner, turned_info(inner.info, turn))
        self.turn = turn

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` takes beside `out` for a window of `shape` (D, H, W)."""
        d, h, w = shape
        return self.inner.window_bytes(self.turn.inverse().shape((d, h, w)))

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        self.inner.read(self.turn.region(region, self.inner.info.shape), self.turn.array(out), batch)


class ReorientedSink(ForwardingSink):
    """A sink that takes values on a grid after `turn` and hands them on as they lie before it."""

    def __init__(self, inner: Sink, turn: Turn) -> None:
        super().__init__(inner)
        self.turn = turn

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `write` takes beside `values` for a window of `shape` (D, H, W)."""
        d, h, w = shape
        return self.inner.window_bytes(self.turn.inverse().shape((d, h, w)))

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write `values` (C, d, h, w) at `region` of volume `batch`."""
        self.inner.write(self.turn.region(region, self.inner.info.shape), self.turn.array(values), batch)


def turned_info(info: VolumeInfo, turn: Turn) -> VolumeInfo:
    """Return what describes a volume of `info` after `turn`; what a format wants back is turned too."""
    if turn.is_identity:
        return info
    geometry = turn.geometry(info.geometry)
    meta = dict(info.meta)
    if "nifti" in meta:
        from .nifti_turned import turned_header

        meta["nifti"] = turned_header(meta["nifti"], turn, info)
    chunks = None if info.chunks is None else turn.shape(info.chunks)
    slow, middle, fast = (turn.axes.index(axis) for axis in info.storage_order)
    return replace(info, shape=geometry.shape, geometry=geometry, chunks=chunks, meta=meta, turned=(slow, middle, fast))

"""Volumes filled up with zeros at the high ends, and results less what follows from the filling."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

from numpy.typing import NDArray

from ..geometry import Geometry, Triple, VoxelMap
from ..region import Region
from .base import Sink, Source
from .forwarding import ForwardingSink, ForwardingSource


class PaddedSource(ForwardingSource):
    """A source of at least its size, zeros behind the last voxels, each axis a multiple of `multiple`."""

    def __init__(self, inner: Source, multiple: int) -> None:
        d, h, w = (-(-n // multiple) * multiple for n in inner.info.shape)
        shape = (d, h, w)
        super().__init__(inner, replace(inner.info, shape=shape, geometry=Geometry(inner.info.geometry.affine, shape)))

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        inside = region.clip(Region.whole(self.inner.info.shape))
        if inside.is_empty:
            out[...] = 0
            return
        kept = inside.slices(region.start)
        for axis, part in enumerate(kept):
            rest: list[slice] = [slice(None)] * 4
            rest[1 + axis] = slice(part.stop, None)
            out[tuple(rest)] = 0
        self.inner.read(inside, out[:, *kept], batch)


class CroppedSink(ForwardingSink):
    """A sink that takes results of a larger grid and hands on those of its first `shape` voxels."""

    def __init__(self, inner: Sink, shape: Triple) -> None:
        super().__init__(inner)
        self._bounds = Region.whole(shape)

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write what of `values` (C, d, h, w) at `region` lies inside."""
        kept = region.clip(self._bounds)
        if not kept.is_empty:
            self.inner.write(kept, values[:, *kept.slices(region.start)], batch)


def cropped_shape(shape: Triple, voxel_map: VoxelMap, bounds: Triple) -> Triple:
    """Return the shape of those of `shape` voxels whose centres lie among the first `bounds` voxels of the input."""
    kept = []
    for n, scale, offset, bound in zip(shape, voxel_map.scale, voxel_map.offset, bounds, strict=True):
        kept.append(max(1, min(n, ceil((bound - 0.5 - offset) / scale))))
    return (kept[0], kept[1], kept[2])

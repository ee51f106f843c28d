"""A volume on another grid along the same axes, interpolated window by window: the same bits whatever the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Floats3, Geometry, Triple, VoxelMap
from ..region import Region
from .base import Source
from .forwarding import ForwardingSource
from .spline import Taps, copy_taps, make_taps

Floats = NDArray[np.float64]

_BLOCK_BYTES = 16 << 20
"""Of the old grid read at a time, where a few planes are not more already."""
_ALIKE = 1e-6
"""Relative: headers hold single precision, so that lengths this close are meant to be equal."""


class ResampledSource(ForwardingSource):
    """A source on the grid that `taps` describe, an axis at a time: along D, then H, then W, in float64.

    Parameters
    ----------
    inner : Source
    taps : three Taps
    geometry : Geometry
        Where the new voxels lie.
    wide : bool
        Whether windows of float64 will be read, which take more memory.
    """

    def __init__(self, inner: Source, taps: Sequence[Taps], geometry: Geometry, wide: bool = False) -> None:
        info = replace(inner.info, shape=geometry.shape, geometry=geometry, chunks=None)
        self.copies = all(tap.is_copy for tap in taps)
        if not self.copies:
            dtype = info.dtype if info.dtype.kind == "f" and not info.is_scaled else np.dtype(np.float32)
            info = replace(info, dtype=dtype, slope=1.0, intercept=0.0)
        super().__init__(inner, info)
        self.taps = tuple(taps)
        self._itemsize = 8 if wide else max(4, self.info.dtype.itemsize)

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` takes beside `out` for a window of `shape` (D, H, W)."""
        itemsize = self._itemsize
        block = (min(shape[0], self._planes(shape, itemsize)), *shape[1:])
        old = self._old_shape(block)
        planes = 2 * 8 * (old[1] * old[2] + shape[1] * old[2] + shape[1] * shape[2])
        return self.inner.window_bytes(old) + self.info.channels * prod(old) * itemsize + planes

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        if region.is_empty:
            return
        planes = self._planes(region.shape, out.dtype.itemsize)
        for part in region.split((planes, *region.shape[1:])):
            at = part.start[0] - region.start[0]
            self._read_block(part, out[:, at : at + part.shape[0]], batch)

    def _read_block(self, region: Region, out: NDArray[Any], batch: int) -> None:
        taps = [_part(tap, a, b) for tap, a, b in zip(self.taps, region.start, region.stop, strict=True)]
        start = tuple(int(tap.indices.min()) for tap in taps)
        stop = tuple(int(tap.indices.max()) + 1 for tap in taps)
        old = np.empty((out.shape[0], *(b - a for a, b in zip(start, stop, strict=True))), out.dtype)
        self.inner.read(Region(start, stop), old, batch)
        shifted = [replace(tap, indices=tap.indices - a) for tap, a in zip(taps, start, strict=True)]
        for values, target in zip(old, out, strict=True):
            _interpolate(values, shifted, target)

    def _planes(self, shape: tuple[int, ...], itemsize: int) -> int:
        """Return how many planes (along D) of a window of `shape` to make at a time."""
        old = self._old_shape((1, *shape[1:]))
        reach, step = old[0], self.taps[0].step
        most = max(4 * reach, _BLOCK_BYTES // (prod(old[1:]) * self.info.channels * itemsize))
        return max(1, min(shape[0], int((most - reach) / max(step, 1e-9)) + 1))

    def _old_shape(self, shape: tuple[int, ...]) -> Triple:
        """Return the shape of the old window that one of `shape` is made of, at most."""
        d, h, w = (
            min(n, ceil((length - 1) * tap.step) + tap.indices.shape[1] + 1)
            for n, length, tap in zip(self.inner.info.shape, shape, self.taps, strict=True)
        )
        return (d, h, w)


def _part(taps: Taps, start: int, stop: int) -> Taps:
    part = slice(start, stop)
    return Taps(taps.indices[part], taps.weights[part], taps.outside[part], taps.order, taps.step)


def _interpolate(values: NDArray[Any], taps: Sequence[Taps], out: NDArray[Any]) -> None:
    """Fill `out` (d, h, w) from `values` (D, H, W), a plane of `out` at a time."""
    copies = all(tap.is_copy for tap in taps)
    beyond = [tap.outside for tap in taps]
    for plane in range(out.shape[0]):
        if beyond[0][plane]:
            out[plane] = 0
            continue
        if copies:
            out[plane] = values[taps[0].indices[plane, 0]][np.ix_(taps[1].indices[:, 0], taps[2].indices[:, 0])]
        else:
            here = zip(taps[0].indices[plane], taps[0].weights[plane], strict=True)
            made = _sum([(values[index], weight) for index, weight in here])
            made = _along(made, taps[1])
            out[plane] = _along(np.ascontiguousarray(made.T), taps[2]).T  # whole rows are moved faster than elements
    out[:, beyond[1]] = 0
    out[:, :, beyond[2]] = 0


def _along(values: NDArray[Any], taps: Taps) -> NDArray[np.float64]:
    """Return `values` (two axes) with the first axis resampled."""
    if taps.is_copy:
        return values.take(taps.indices[:, 0], 0)
    total = np.zeros(0)
    for tap in range(taps.indices.shape[1]):
        part = values.take(taps.indices[:, tap], 0)
        part *= taps.weights[:, tap, None]
        total = part if not tap else np.add(total, part, out=total)
    return total


def _sum(parts: Sequence[tuple[NDArray[Any], float]]) -> NDArray[np.float64]:
    """Return the weighted sum of planes in float64, in their order."""
    total: NDArray[np.float64] = np.multiply(parts[0][0], parts[0][1], dtype=np.float64)
    for values, weight in parts[1:]:
        total += np.multiply(values, weight, dtype=np.float64)
    return total


@dataclass(frozen=True)
class AxisMap:
    """An axis of `old` voxels, `old_mm` apart, and the `new` voxels `new_mm` apart that share its centre.

    Their numbers are new = ceil(old·old_mm/new_mm), where a length within a millionth of a whole number is that number;
    likewise spacings so close are equal, and the axis stays as it is.
    """

    old: int
    old_mm: float = 1.0
    new_mm: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether the axis stays as it is."""
        return abs(self.old_mm - self.new_mm) <= _ALIKE * self.new_mm

    @property
    def new(self) -> int:
        """Number of new voxels."""
        if self.is_identity:
            return self.old
        exact = self.old * self.old_mm / self.new_mm
        nearest = round(exact)
        return max(1, nearest if abs(exact - nearest) <= _ALIKE * nearest else ceil(exact))

    def to_old(self, places: Floats) -> Floats:
        """Return where new voxels lie among the old ones: (p − (m−1)/2)·new/old + (n−1)/2."""
        if self.is_identity:
            return places
        return (places - (self.new - 1) / 2) * self.new_mm / self.old_mm + (self.old - 1) / 2

    def to_new(self, places: Floats) -> Floats:
        """Return where old voxels lie among the new ones."""
        if self.is_identity:
            return places
        return (places - (self.old - 1) / 2) * self.old_mm / self.new_mm + (self.new - 1) / 2

    def taps(self, order: int) -> Taps:
        """Return how the new voxels follow from the old ones."""
        if self.is_identity:
            return copy_taps(self.old)
        return make_taps(self.to_old(np.arange(self.new, dtype=np.float64)), self.old, order)


AxisMaps = tuple[AxisMap, AxisMap, AxisMap]


def make_axis_maps(shape: Triple, old_mm: Floats3, new_mm: Floats3) -> AxisMaps:
    """Return the maps of D, H, W from `old_mm` to `new_mm`."""
    d, h, w = (AxisMap(*parts) for parts in zip(shape, old_mm, new_mm, strict=True))
    return (d, h, w)


def make_voxel_map(maps: AxisMaps) -> VoxelMap:
    """Return the map from new voxels to old ones."""
    scale, offset = [], []
    for axis in maps:
        step = 1.0 if axis.is_identity else axis.new_mm / axis.old_mm
        scale.append(step)
        offset.append(0.0 if axis.is_identity else (axis.old - 1) / 2 - (axis.new - 1) / 2 * step)
    return VoxelMap((scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2]))


def resample(inner: Source, maps: AxisMaps, order: int, geometry: Geometry, wide: bool = False) -> Source:
    """Return `inner` on the new voxels of `maps`, which lie where `geometry` says; `wide` as for `ResampledSource`."""
    if all(axis.is_identity for axis in maps):
        return inner
    return ResampledSource(inner, [axis.taps(order) for axis in maps], geometry, wide)

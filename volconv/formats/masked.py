"""Masks: a volume that says which voxels count, and results that are 0 elsewhere."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..region import Region
from .base import Sink, Source
from .forwarding import ForwardingSink
from .intensity import read_inside
from .stacked import TOLERANCE_MM, name_of


class MaskedSink(ForwardingSink):
    """A sink that gets 0 wherever `mask`, of one channel on the output's grid, is not above 0."""

    def __init__(self, inner: Sink, mask: Source) -> None:
        super().__init__(inner)
        self._mask = mask

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `write` takes beside `values` for a window of `shape` (D, H, W)."""
        voxels = prod(shape)
        return self.inner.window_bytes(shape) + self._mask.window_bytes(shape) + voxels * (5 + 8 * self.info.channels)

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write `values` (C, d, h, w) at `region` of volume `batch`, 0 outside the mask."""
        inside = read_inside(self._mask, region)
        self.inner.write(region, np.where(inside, values, values.dtype.type(0)), batch)


def check_mask(scan: Source, mask: Source, has_place: bool = True) -> None:
    """Raise `FormatError` unless `mask` has one channel and lies on the grid of `scan`.

    A grid of unknown place fits any of its shape; so does every grid where `has_place` is false.
    """
    a, b = scan.info, mask.info
    if b.channels != 1 or b.batch != 1:
        raise FormatError(
            f"found {b.channels * b.batch} volumes, expected a mask of one volume and one channel",
            code="volume.mask",
            file=name_of(mask),
        )
    if a.shape != b.shape:
        found, wanted = (",".join(map(str, info.shape)) for info in (b, a))
        raise FormatError(
            f"found a mask of D,H,W = {found}, expected the scan's grid: {name_of(scan)} has {wanted}",
            code="volume.mask",
            file=name_of(mask),
        )
    if not has_place or a.geometry.affine is None or b.geometry.affine is None:
        return
    apart = a.geometry.distance_mm(b.geometry)
    if not apart <= TOLERANCE_MM:
        raise FormatError(
            f"found a mask whose voxels lie up to {apart:.6g} mm from those of {name_of(scan)}, expected at most "
            f"{TOLERANCE_MM:g}",
            code="volume.mask",
            file=name_of(mask),
        )

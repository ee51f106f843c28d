"""What a volume is, before a voxel of it is read. Inside the package axes are always (C, D, H, W)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .geometry import IDENTITY, Geometry, Triple, VoxelMap

AXES = ("kji", "ijk")
"""Which file axes become D, H, W: `kji` (default) D = k, slices first; `ijk` D = i, as nibabel sees it."""


@dataclass(frozen=True)
class VolumeInfo:
    """Shape, type and place of a volume on file or in memory.

    Attributes
    ----------
    shape : tuple of int
        D, H, W.
    channels, batch : int
        Channels, and how many volumes one after the other (a time series read with one channel).
    dtype : numpy dtype
        Of the values as stored, in native byte order.
    geometry : Geometry
        Where the voxels lie.
    slope, intercept : float
        The value of a voxel is ``stored * slope + intercept``.
    turned : tuple of int or None
        See `storage_order`, where axes were swapped after they were read; else it follows from `axes`.
    labels : bool
        Whether the file says that values are labels.
    axes : str
        One of `AXES`: how D, H, W were taken from the file.
    chunks : tuple of int or None
        D, H, W of the blocks that are cheap to read; None where any window costs the same.
    meta : mapping
        What a format wants back when an output of the same format is written; keyed by format name.
    """

    shape: Triple
    channels: int
    dtype: np.dtype[Any]
    geometry: Geometry
    batch: int = 1
    axes: str = "kji"
    chunks: Triple | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    slope: float = 1.0
    intercept: float = 0.0
    turned: Triple | None = None
    labels: bool = False

    @property
    def is_scaled(self) -> bool:
        """Whether values differ from what is stored, so that no stored type can stand for them."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def storage_order(self) -> Triple:
        """D, H, W (0, 1, 2) from the slowest axis in the file to the fastest."""
        return self.turned or ((0, 1, 2) if self.axes == "kji" else (2, 1, 0))

    @property
    def voxels(self) -> int:
        """Voxels of one channel of one volume."""
        return prod(self.shape)


@dataclass(frozen=True)
class OutputInfo:
    """What an output file is to hold.

    Attributes
    ----------
    shape : tuple of int
        D, H, W.
    channels, batch : int
        As in `VolumeInfo`.
    dtype : numpy dtype
        Of the values as stored (slope 1, intercept 0).
    origin : VolumeInfo
        The volume the output was computed from: source of affines, codes, units, description, axes order.
    voxel_map : VoxelMap
        From the output's (d, h, w) to those of `origin`.
    labels : bool
        Whether values are labels (nearest neighbour, label intent) and not features.
    record : str
        The JSON record that travels in the file; empty for none.
    """

    shape: Triple
    channels: int
    dtype: np.dtype[Any]
    origin: VolumeInfo
    voxel_map: VoxelMap = IDENTITY
    batch: int = 1
    labels: bool = False
    record: str = ""

    @property
    def geometry(self) -> Geometry:
        """Where the output's voxels lie."""
        return self.origin.geometry.moved(self.voxel_map, self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels as stored."""
        return prod(self.shape) * self.channels * self.batch * self.dtype.itemsize

"""Which NIfTI axes are space, time and channels, and how an array of (d, h, w) turns into the file's (i, j, k)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..geometry import Triple, VoxelMap
from ..region import Region

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class NiftiAxes:
    """How a file's axes are read.

    Attributes
    ----------
    ijk : tuple of int
        Voxels along x, y, z.
    channels, batch : int
        See `VolumeInfo`.
    channel_step, batch_step : int
        How many (i, j, k) volumes lie between neighbouring channels, and between volumes of the batch.
    """

    ijk: Triple
    channels: int = 1
    batch: int = 1
    channel_step: int = 0
    batch_step: int = 0

    @property
    def volumes(self) -> int:
        """How many (i, j, k) volumes the file holds."""
        return self.channels * self.batch


def read_axes(dims: tuple[int, ...], channels: int | None, name: str) -> NiftiAxes:
    """Return what the axes of a header mean.

    Parameters
    ----------
    dims : tuple of int
        From the header, x first.
    channels : int or None
        Channels the caller wants: 1 makes the fourth axis a batch, its very length makes it channels, None takes
        whatever it is for channels.
    name : str
        The file's name, for messages.

    Raises
    ------
    FormatError
        If the fourth axis is neither, or there are axes beyond the fifth.
    """
    nx, ny, nz = (*dims[:3], 1, 1)[:3]
    ijk = (nx, ny, nz)
    rest = list(dims[3:])
    while rest and rest[-1] == 1:
        rest.pop()
    if not rest:
        return NiftiAxes(ijk)
    if len(rest) > 2:
        found = " x ".join(map(str, dims))
        raise FormatError(
            f"found {found} voxels, expected x, y, z, time and channels at most",
            code="nifti.dim",
            file=name,
            where="dim",
        )
    times = rest[0]
    if len(rest) == 2:
        return NiftiAxes(ijk, channels=rest[1], batch=times, channel_step=times, batch_step=1)
    if channels is None or times == channels:
        return NiftiAxes(ijk, channels=times, channel_step=1)
    if channels == 1:
        return NiftiAxes(ijk, batch=times, batch_step=1)
    message = f"found {times} volumes, expected {channels} channels (the spec's input.channels) or a spec of 1 channel"
    raise FormatError(message, code="volume.channels", file=name, where="dim[4]")


def turn(triple: tuple[Number, ...], order: str) -> tuple[Number, Number, Number]:
    """Return (i, j, k) from (d, h, w), or the other way: both orders are their own inverse."""
    a, b, c = triple
    return (c, b, a) if order == "kji" else (a, b, c)


def turn_region(region: Region, order: str) -> Region:
    """Return the box over (k, j, i) that `region` over (d, h, w) is in the file."""
    start, stop = turn(region.start, order), turn(region.stop, order)
    return Region(start[::-1], stop[::-1])


def as_kji(array: NDArray[Any], order: str) -> NDArray[Any]:
    """Return a view of (d, h, w) that is indexed (k, j, i), and the other way."""
    return array if order == "kji" else array.transpose(2, 1, 0)


def turn_affine(affine: NDArray[np.float64], order: str) -> NDArray[np.float64]:
    """Return the affine over (d, h, w) of one over (i, j, k), and the other way."""
    return affine[:, [2, 1, 0, 3]] if order == "kji" else affine


def turn_map(voxel_map: VoxelMap, order: str) -> NDArray[np.float64]:
    """Return the map's 4×4 matrix over (i, j, k)."""
    matrix = voxel_map.matrix()
    return matrix[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])] if order == "kji" else matrix

"""Opens a volume by its name, for reading or writing; a format's library is imported when it is first needed."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from ..geometry import Floats3
from ..volume import AXES, OutputInfo
from .axes_letters import check_letters
from .base import Sink, Source
from .names import HDF5, VolumeName, parse_volume_name

__all__ = ["CHANNEL_LAYOUTS", "VolumeName", "open_sink", "open_source", "parse_volume_name"]

CHANNEL_LAYOUTS = ("4d", "vector", "split")
"""How NIfTI holds channels: (x,y,z,c); (x,y,z,1,c) with vector intent; one 3-D file a channel."""


def open_source(
    name: str | Path,
    *,
    order: str = "kji",
    axes: str | None = None,
    spacing_mm: Floats3 | None = None,
    channels: int | None = 1,
) -> Source:
    """Return the volume `name`, its header read and checked, no voxel read.

    Parameters
    ----------
    name : str or Path
        As `parse_volume_name` reads it.
    order : str
        One of `AXES`: which file axes become D, H, W.
    axes : str, optional
        Letters of an HDF5 dataset's axes (``zyx``), for files that do not say; NIfTI always says.
    spacing_mm : tuple of float, optional
        D, H, W, for files that do not say.
    channels : int or None
        Channels the spec wants; decides whether a fourth NIfTI axis is a batch (1) or channels. None takes that
        axis for channels whatever its length.

    Raises
    ------
    MissingFileError
        If there is no such file, or it is a folder, a device or unreadable.
    FormatError
        If the content is damaged or not supported.
    UsageError
        If the name says no format, or `order`, `axes` or `spacing_mm` makes no sense.
    """
    if order not in AXES:
        raise UsageError(f"found axes order {order!r}, expected one of {', '.join(AXES)}")
    if spacing_mm is not None and not (len(spacing_mm) == 3 and all(0 < s < float("inf") for s in spacing_mm)):
        raise UsageError(
            f"found spacing {spacing_mm}, expected three positive lengths D,H,W in mm", code="usage.spacing"
        )
    check_letters(axes)
    volume = parse_volume_name(name)
    if volume.format == HDF5:
        from .hdf5_source import Hdf5Source

        return Hdf5Source(volume.path, volume.dataset, order=order, axes=axes, spacing_mm=spacing_mm, channels=channels)
    from .nifti_source import NiftiSource

    return NiftiSource(volume.path, order=order, spacing_mm=spacing_mm, channels=channels)


def open_sink(
    name: str | Path,
    info: OutputInfo,
    *,
    scratch: Path,
    force: bool = False,
    channels: str = "4d",
    dataset: str | None = None,
    threads: int = 1,
) -> Sink:
    """Return a sink for the output `name`; nothing is created before its `create`.

    Parameters
    ----------
    name : str or Path
        As `parse_volume_name` reads it.
    info : OutputInfo
        What the output is to hold.
    scratch : Path
        Folder for what is too large for memory; made when needed.
    force : bool
        Whether an existing output is replaced.
    channels : str
        One of `CHANNEL_LAYOUTS`; NIfTI only.
    dataset : str, optional
        Name inside an HDF5 file, where `name` has none.
    threads : int
        Threads that compress a ``.nii.gz``; the bytes are the same for any number.

    Raises
    ------
    OutputError
        If the output exists (without `force`) or cannot be written.
    UsageError
        If the format cannot hold what `info` says.
    """
    if channels not in CHANNEL_LAYOUTS:
        raise UsageError(f"found channel layout {channels!r}, expected one of {', '.join(CHANNEL_LAYOUTS)}")
    volume = parse_volume_name(name)
    if volume.format == HDF5:
        from .hdf5_sink import Hdf5Sink

        return Hdf5Sink(volume.path, volume.dataset or dataset, info, scratch=scratch, force=force)
    if dataset is not None:
        raise UsageError("a dataset was named, but NIfTI holds one volume a file", code="usage.format", file=str(name))
    from .nifti_sink import open_nifti_sink

    return open_nifti_sink(volume, info, scratch=scratch, force=force, channels=channels, threads=threads)

"""Writes NIfTI-1 and NIfTI-2 in windows: ``.nii``, ``.nii.gz``, ``.hdr/.img``, or one file a channel."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..region import Region
from ..volume import OutputInfo
from .base import Sink
from .commit import Unit
from .names import VolumeName
from .nifti_axes import as_kji, turn, turn_region
from .nifti_body import Body, GzipBody, PairBody, PlainBody
from .nifti_output import check_storable, make_header
from .nifti_window import BLOCK_VOXELS, Grid
from .rounding import count_not_finite, to_stored
from .turned import PLANES, TILE_BYTES, as_ordered, is_turned

_ROUNDING_BYTES = 8 + 8 + 8 + 4
"""A voxel's memory while it is rounded: as float64, as stored, in a plane to be merged, and a few flags."""

_WORTH_MERGING = 1 << 12
"""Bytes between parts of rows that are read and written back in less time than one more call takes."""


class NiftiSink:
    """A NIfTI volume as a `volconv.formats.base.Sink`; nothing touches the disk before `create`.

    Parameters
    ----------
    body : Body
        Takes the bytes.
    info : OutputInfo
        What the file is to hold.
    """

    def __init__(self, body: Body, info: OutputInfo) -> None:
        self.info = info
        self.path: Path | None = body.paths[0]
        self.paths = body.paths
        self.scratch_bytes = body.scratch_bytes
        self.clipped = self.not_finite = 0
        self._body = body
        self._merging = Lock()
        self._grid = Grid(turn(info.shape, info.origin.axes), info.dtype.newbyteorder("<"))
        self._volumes = info.channels * info.batch
        self._missing: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)  # voxels yet to come in each plane
        self._whole_planes = 0

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory that `write` of a window of `shape` takes, and what is held between writes."""
        voxels = min(BLOCK_VOXELS, max(prod(shape), turn(shape, self.info.origin.axes)[1] * self._grid.ijk[0]))
        return voxels * _ROUNDING_BYTES + TILE_BYTES + self._body.buffer_bytes + 8 * self._volumes * self._grid.ijk[2]

    def create(self) -> None:
        """Check the output's name and reserve its space.

        Raises
        ------
        OutputError
            If the output exists (without `force`) or cannot be written.
        BudgetError
            If the disk does not suffice.
        """
        try:
            self._body.create()
        except BaseException:
            self.abort()
            raise
        nx, ny, nz = self._grid.ijk
        self._missing = np.full((self._volumes, nz), nx * ny, dtype=np.int64)

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write `values` (C, d, h, w) at `region` of volume `batch`."""
        if values.shape != (self.info.channels, *region.shape):
            raise ValueError(f"values have shape {values.shape}, expected {(self.info.channels, *region.shape)}")
        if not Region.whole(self.info.shape).contains(region) or not 0 <= batch < self.info.batch:
            raise ValueError(f"{region} of volume {batch} lies outside {self.info.shape} x {self.info.batch}")
        if region.is_empty:
            return
        order = self.info.origin.axes
        box = turn_region(region, order)
        for channel in range(self.info.channels):
            volume = channel * self.info.batch + batch
            self._write_box(volume * self._grid.volume_bytes, box, as_kji(values[channel], order))
            self._count(volume, box)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The part files: one, or a pair's two."""
        return (self._body.parts,)

    def complete(self) -> None:
        """Bring the whole output to the disk under its hidden name: the first half of `finish`."""
        self._body.complete()

    def publish(self) -> None:
        """Give the completed output its final name: the second half of `finish`."""
        self._body.publish()

    def finish(self) -> None:
        """Complete and publish the output."""
        self.complete()
        self.publish()

    def abort(self) -> None:
        """Remove everything that was begun."""
        self._body.abort()

    def _count(self, volume: int, box: Region) -> None:
        """Tell the body how many planes from the file's first on are whole now that `box` is written."""
        planes = self._missing.ravel()
        self._missing[volume, box.start[0] : box.stop[0]] -= box.shape[1] * box.shape[2]
        before = self._whole_planes
        while self._whole_planes < len(planes) and planes[self._whole_planes] == 0:
            self._whole_planes += 1
        if self._whole_planes > before:
            self._body.settle(self._whole_planes * self._grid.plane_bytes)

    def _write_box(self, first: int, box: Region, values: NDArray[Any]) -> None:
        """Write `values` (k, j, i) at `box` of the volume that starts at byte `first`."""
        size, (nx, ny, _) = self._grid.dtype.itemsize, self._grid.ijk
        ni = min(box.shape[2], BLOCK_VOXELS)
        merge = ni == box.shape[2] and (nx - ni) * size <= _WORTH_MERGING
        planes = min(PLANES, box.shape[0]) if is_turned(values) else 1
        nj = min(box.shape[1], max(1, BLOCK_VOXELS // planes // (nx if merge else ni)))
        nk = min(box.shape[0], max(1, BLOCK_VOXELS // (ni * nj)))
        for block in box.split((nk, nj, ni)):
            native, clipped = to_stored(values[block.slices(box.start)], self.info.dtype)
            stored = as_ordered(native, self._grid.dtype)
            self.clipped += clipped
            self.not_finite += count_not_finite(native)
            if ni == nx and nj == ny:
                self._write_runs(first, block, stored[None, None])
            elif merge:
                self._merge_planes(first, block, stored)
            else:
                self._write_runs(first, block, stored)

    def _write_runs(self, first: int, block: Region, runs: NDArray[Any]) -> None:
        """Write ``runs[k, j]``, each contiguous in the file, at its row of `block`."""
        for k, j in np.ndindex(runs.shape[:2]):
            at = first + self._grid.offset((block.start[0] + k, block.start[1] + j, block.start[2]))
            self._body.write(at, _bytes(runs[k, j]))

    def _merge_planes(self, first: int, block: Region, stored: NDArray[Any]) -> None:
        """Write `block` plane by plane, from its first voxel to its last, what lies between read and put back.

        Two calls a plane instead of one a row: for rows of 64 float32 a fourth of the time.
        """
        size, (nk, nj, ni) = self._grid.dtype.itemsize, block.shape
        span = np.empty((nj - 1) * self._grid.row_bytes + ni * size, dtype=np.uint8)
        rows = np.ndarray((nj, ni), self._grid.dtype, span, 0, (self._grid.row_bytes, size))
        for k in range(nk):
            at = first + self._grid.offset((block.start[0] + k, block.start[1], block.start[2]))
            with self._merging:
                if ni < self._grid.ijk[0]:
                    self._body.read_into(at, span.data)
                rows[...] = stored[k]
                self._body.write(at, span.data, final=ni == self._grid.ijk[0])


def _bytes(array: NDArray[Any]) -> memoryview:
    """Return a C-contiguous array's bytes."""
    return array.reshape(-1).view(np.uint8).data


class SplitSink:
    """One 3-D file a channel: ``OUT_ch00.nii.gz``, ``OUT_ch01.nii.gz``, … that appear together.

    Parameters
    ----------
    path : Path
        As the user named the output; no file of this name is written.
    sinks : list of NiftiSink
        One a channel.
    """

    def __init__(self, path: Path, sinks: list[NiftiSink], info: OutputInfo) -> None:
        self.info = info
        self.path: Path | None = path
        self.paths = tuple(p for sink in sinks for p in sink.paths)
        self.scratch_bytes = sum(sink.scratch_bytes for sink in sinks)
        self.clipped = self.not_finite = 0
        self._sinks = sinks

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory of one channel: they are written one after the other."""
        return self._sinks[0].window_bytes(shape)

    def create(self) -> None:
        """Check all names, reserve all space."""
        try:
            for sink in self._sinks:
                sink.create()
        except BaseException:
            self.abort()
            raise

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write each channel into its own file."""
        for sink, channel in zip(self._sinks, values, strict=True):
            sink.write(region, channel[None], batch)
        self.clipped = sum(sink.clipped for sink in self._sinks)
        self.not_finite = sum(sink.not_finite for sink in self._sinks)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The part files of every channel, in order."""
        return tuple(unit for sink in self._sinks for unit in sink.units)

    def complete(self) -> None:
        """Complete every file before the first is published."""
        for sink in self._sinks:
            sink.complete()

    def publish(self) -> None:
        """Publish the files in channel order."""
        for sink in self._sinks:
            sink.publish()

    def finish(self) -> None:
        """Complete and publish the files."""
        self.complete()
        self.publish()

    def abort(self) -> None:
        """Remove everything that was begun; files already published stay, each whole."""
        for sink in self._sinks:
            sink.abort()


def open_nifti_sink(
    name: VolumeName, info: OutputInfo, *, scratch: Path, force: bool, channels: str, threads: int
) -> Sink:
    """Return the sink for a NIfTI output; see `volconv.formats.open.open_sink`."""
    check_storable(info, str(name.path))
    if channels != "split" or info.channels == 1:
        return _open_one(name.path, name, info, channels, scratch=scratch, force=force, threads=threads)
    width = max(2, len(str(info.channels - 1)))
    suffix = name.path.name[len(name.stem) :]
    paths = [name.path.with_name(f"{name.stem}_ch{c:0{width}}{suffix}") for c in range(info.channels)]
    one = replace(info, channels=1)
    # Compressed one after the other at the end: as streams side by side they would each hold buffers.
    sinks = [
        _open_one(path, name, one, "4d", scratch=scratch, force=force, threads=threads, eager=False) for path in paths
    ]
    return SplitSink(name.path, sinks, info)


def _open_one(
    path: Path,
    name: VolumeName,
    info: OutputInfo,
    layout: str,
    *,
    scratch: Path,
    force: bool,
    threads: int,
    eager: bool = True,
) -> NiftiSink:
    suffix = path.name[-len(name.suffix) :]
    if name.suffix in (".hdr.gz", ".img.gz"):
        raise UsageError(
            "pairs are written uncompressed; name the output .hdr, .img or .nii.gz",
            code="output.format",
            file=str(path),
        )
    header = make_header(info, layout, single=name.suffix.startswith(".nii"))
    if name.suffix == ".nii":
        return NiftiSink(PlainBody(path, force, header, info.nbytes), info)
    if name.suffix == ".nii.gz":
        body = GzipBody(path, force, header, info.nbytes, scratch=scratch, threads=threads, eager=eager)
        return NiftiSink(body, info)
    stem = path.name[: -len(suffix)]
    halves = (".HDR", ".IMG") if suffix.isupper() else (".hdr", ".img")
    pair = [path.with_name(stem + half) for half in halves]
    return NiftiSink(PairBody(pair[0], pair[1], force, header, info.nbytes), info)

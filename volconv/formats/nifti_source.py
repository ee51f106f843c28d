"""Reads NIfTI-1 and NIfTI-2: one file or a pair, plain or gzipped, in windows.

A plain file is read where it lies. A gzipped one is unpacked to its end first, into memory or a scratch file:
its checksum stands behind the last voxel, and nothing read before it can be trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BudgetError, FormatError, UsageError
from ..geometry import Floats3, Geometry
from ..region import Region
from ..volume import VolumeInfo
from .gzip_stream import MAX_RATIO, GzipReader
from .nifti_axes import as_kji, read_axes, turn, turn_affine, turn_region
from .nifti_files import is_gzip, open_files, read_header
from .nifti_forms import make_base_affine
from .nifti_header import INTENT_LABEL, NiftiHeader
from .nifti_window import BUFFER_BYTES, ByteStore, Grid, Scaling, WindowReader
from .rounding import OVERFLOW_NOTE, ROUNDING_NOTE
from .scratch_file import ScratchFile

_STRAY_LIMIT = 1 << 20
_UNPACK_BLOCK = 1 << 20
_SPACING_TOLERANCE = 1e-3


class NiftiSource:
    """A NIfTI volume as a `volconv.formats.base.Source`.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz``, or either half of a pair.
    order : str
        One of `volconv.volume.AXES`.
    spacing_mm : tuple of float, optional
        D, H, W, for a header that does not say.
    channels : int or None
        Channels the caller wants; see `read_axes`.

    Raises
    ------
    MissingFileError
        If the file named cannot be opened.
    FormatError
        If the header is damaged, the voxels are cut short, or the other half of a pair is missing.
    UsageError
        If `spacing_mm` contradicts the header.
    """

    def __init__(
        self, path: Path, *, order: str = "kji", spacing_mm: Floats3 | None = None, channels: int | None = 1
    ) -> None:
        self.path: Path | None = path
        self.warnings: list[str] = []
        self.spool_bytes = 0
        self._order = order
        self._reader: WindowReader | None = None
        self._scratch: ScratchFile | None = None
        self._files = open_files(path)
        self.paths: tuple[Path, ...] = tuple(file.path for file in self._files)
        try:
            header = read_header(self._files[0], single=len(self._files) == 1)
            self.header = with_spacing(header, spacing_mm, order, str(path))
            self._axes = read_axes(header.dims, channels, str(path))
            self.warnings += header.remarks
            self._voxels = self._files[-1]
            self._packed = is_gzip(self._voxels)
            self._check_size()
            self.info = self._make_info()
        except BaseException:
            self.close()
            raise

    def window_bytes(self, shape: tuple[int, ...]) -> int:  # noqa: ARG002 - the same for every window
        """Return the memory `read` takes beside `out`."""
        return BUFFER_BYTES

    def load(self, scratch: Path | None) -> None:
        """Unpack a gzipped file, into `scratch` where given; plain files need nothing.

        Raises
        ------
        FormatError
            If the stream is damaged, cut short, or has more than 1 MiB behind the voxels.
        BudgetError
            If memory or the scratch folder's disk does not suffice.
        """
        grid = Grid(self._axes.ijk, self.header.dtype)
        scaling = Scaling(self.header.slope, self.header.intercept)
        if not self._packed:
            self._reader = WindowReader(self._voxels, self.header.offset, grid, scaling)
            return
        store = self._unpack_to_memory() if scratch is None else self._unpack_to_file(scratch)
        self._reader = WindowReader(store, 0, grid, scaling)

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        reader = self._reader
        if reader is None:
            raise RuntimeError("load was not called before read")
        if out.shape != (self.info.channels, *region.shape):
            raise ValueError(f"out has shape {out.shape}, expected {(self.info.channels, *region.shape)}")
        if not Region.whole(self.info.shape).contains(region) or not 0 <= batch < self.info.batch:
            raise ValueError(f"{region} of volume {batch} lies outside {self.info.shape} x {self.info.batch}")
        self._check_type(out.dtype)
        if region.is_empty:
            return
        box = turn_region(region, self._order)
        for channel in range(self.info.channels):
            volume = channel * self._axes.channel_step + batch * self._axes.batch_step
            reader.read(volume, box, as_kji(out[channel], self._order))
        if reader.overflowed:
            reader.overflowed = False
            self._warn_once(OVERFLOW_NOTE)
        if reader.rounded:
            self._warn_once(ROUNDING_NOTE)

    def digest(self) -> str:
        """Return the SHA-256 of the file, or of header and voxel file one after the other."""
        digest = hashlib.sha256()
        for file in self._files:
            file.update_digest(digest)
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Raise `RunError` if a file is not the one that was opened."""
        for file in self._files:
            file.check_unchanged()

    def close(self) -> None:
        """Let go of files and memory; safe to call twice."""
        self._reader = None
        if self._scratch is not None:
            self._scratch.close()
        for file in self._files:
            file.close()

    def _make_info(self) -> VolumeInfo:
        header, shape = self.header, turn(self._axes.ijk, self._order)
        affine = None if header.affine_mm is None else turn_affine(header.affine_mm, self._order)
        return VolumeInfo(
            shape=shape,
            channels=self._axes.channels,
            batch=self._axes.batch,
            dtype=header.dtype.newbyteorder("="),
            geometry=Geometry(affine, shape),
            axes=self._order,
            meta={"nifti": header},
            slope=header.slope,
            intercept=header.intercept,
            labels=header.intent_code == INTENT_LABEL,
        )

    def _check_size(self) -> None:
        """Compare what the header declares with the file, before anything is allocated."""
        file, header = self._voxels, self.header
        wanted = header.offset + header.voxel_bytes
        if self._packed:
            self.spool_bytes = header.voxel_bytes
            if wanted > file.size * MAX_RATIO:
                message = f"found {file.size} bytes of gzip, expected more: they cannot hold {wanted} bytes"
                raise FormatError(message, code="nifti.dim", file=file.name, where="dim")
            return
        if file.size < header.offset:
            message = f"found {header.offset}, expected a place inside the file of {file.size} bytes"
            raise FormatError(message, code="nifti.vox_offset", file=file.name, where="vox_offset")
        if file.size < wanted:
            found = f"found {file.size - header.offset} bytes, expected {header.voxel_bytes}"
            message = f"the voxels are cut short: {found}"
            raise FormatError(message, code="nifti.voxels_truncated", file=file.name)
        if file.size > wanted:
            self.warnings.append(f"{file.size - wanted} stray bytes after the voxels were passed over")

    def _check_type(self, dtype: np.dtype[Any]) -> None:
        raw = dtype == self.info.dtype and not self.info.is_scaled
        if not raw and dtype not in (np.float32, np.float64):
            raise ValueError(f"cannot read into {dtype}, expected float32, float64 or unscaled {self.info.dtype}")

    def _unpack_to_memory(self) -> NDArray[np.uint8]:
        size = self.header.voxel_bytes
        try:
            memory = np.empty(size, dtype=np.uint8)
        except (MemoryError, ValueError) as error:
            raise BudgetError(
                f"unpacked it takes {size} bytes, more than there is", code="memory.budget", file=self._voxels.name
            ) from error
        at = 0
        for part in self._unpack():
            memory[at : at + len(part)] = np.frombuffer(part, dtype=np.uint8)
            at += len(part)
        return memory

    def _unpack_to_file(self, folder: Path) -> ByteStore:
        self._scratch = ScratchFile(folder, self.header.voxel_bytes, self._voxels.name)
        at = 0
        for part in self._unpack():
            self._scratch.write(at, part)
            at += len(part)
        return self._scratch

    def _unpack(self) -> Iterable[bytes]:
        """Yield the voxels' bytes; the stream is read to its end before this ends."""
        stream = GzipReader(self._voxels)
        stream.expected = self.header.offset + self.header.voxel_bytes
        while stream.produced < stream.expected:
            skipping = self.header.offset - stream.produced
            part = stream.read(min(_UNPACK_BLOCK, skipping if skipping > 0 else stream.expected - stream.produced))
            if not part:
                found = f"found {stream.produced} bytes when unpacked, expected {stream.expected}"
                raise FormatError(
                    f"the voxels are cut short: {found}", code="nifti.voxels_truncated", file=self._voxels.name
                )
            if skipping <= 0:
                yield part
        stray = stream.drain(_STRAY_LIMIT)
        if stray > _STRAY_LIMIT:
            found = f"more than {_STRAY_LIMIT} bytes follow the voxels, expected {stream.expected} bytes when unpacked"
            raise FormatError(found, code="nifti.trailing_bytes", file=self._voxels.name)
        if stray or stream.stray:
            self._warn_once(f"{stray + stream.stray} stray bytes after the voxels were passed over")

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)


def with_spacing(header: NiftiHeader, spacing_mm: Floats3 | None, order: str, name: str) -> NiftiHeader:
    """Return `header` with `spacing_mm` (D, H, W) where it says none itself.

    Raises
    ------
    UsageError
        If the header says another spacing.
    """
    if spacing_mm is None:
        return header
    if header.affine_mm is not None:
        own = Geometry(turn_affine(header.affine_mm, order), (1, 1, 1)).spacing_mm
        if own is None or np.allclose(own, spacing_mm, rtol=_SPACING_TOLERANCE, atol=0):
            return header
        said = ", ".join(f"{s:g}" for s in own)
        raise UsageError(
            f"the header says a spacing of {said} mm; --spacing is for files that do not say",
            code="usage.spacing",
            file=name,
        )
    zooms = tuple(s / header.unit_mm for s in turn(spacing_mm, order))
    ijk = read_axes(header.dims, None, name).ijk
    pixdim = (header.pixdim[0], *zooms, *header.pixdim[4:])
    return replace(header, pixdim=pixdim, affine=make_base_affine(ijk, zooms))

"""Reads a volume from an HDF5 dataset in windows of bounded memory; everything unsafe is settled by `hdf5_guard`."""

from __future__ import annotations

import hashlib
from math import ceil, prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, UsageError, show
from ..geometry import Floats3, Geometry
from ..region import Region
from ..volume import VolumeInfo
from .hdf5_axes import (
    SPATIAL,
    FileAxes,
    affine_from_spacing,
    is_label_map,
    make_axes,
    read_affine,
    read_letters,
    to_dhw,
)
from .hdf5_guard import H5PY_ERRORS, check_dataset, hdf5_errors, look_into, open_hdf5, resolve
from .hdf5_pieces import CACHE_SLOTS, PIECE_BYTES, cache_plan, split_chunks, split_pieces
from .hdf5_tree import check_numbers, find_volume, list_datasets, listing
from .input_file import InputFile
from .rounding import OVERFLOW_NOTE, ROUNDING_NOTE, exceeds_float64

_SPACING_TOLERANCE = 1e-3


class Hdf5Source:
    """A dataset of an HDF5 file as a `Source`.

    Parameters
    ----------
    path : Path
    dataset : str, optional
        Its name inside the file; by default the only one that is volume-like: numbers, 3 to 5 dimensions.
    order : str
        ``kji`` (D = z, H = y, W = x) or ``ijk`` (D = x, H = y, W = z).
    axes : str, optional
        A letter a dimension, of ``t c z y x``, for files that do not say by an attribute `axes` or `axistags`.
    spacing_mm : tuple of float, optional
        D, H, W, for files without an attribute `affine`.
    channels : int or None
        Channels the spec wants: decides whether an axis t is a batch (1) or channels (None: of any number).

    Raises
    ------
    MissingFileError
        There is no such readable file.
    FormatError
        The file is damaged, leads into other files, or holds no such volume.
    UsageError
        `axes` does not fit, or `spacing_mm` contradicts the file.
    """

    spool_bytes = 0

    def __init__(
        self,
        path: Path,
        dataset: str | None = None,
        *,
        order: str = "kji",
        axes: str | None = None,
        spacing_mm: Floats3 | None = None,
        channels: int | None = 1,
    ) -> None:
        self.path: Path | None = path
        self.paths: tuple[Path, ...] = (path,)
        self.warnings: list[str] = []
        self._shown = str(path)
        self._input = InputFile(path)
        try:
            with look_into(self._input) as file:
                self._settle(file, dataset, order, axes, spacing_mm, channels)
        except BaseException:
            self._input.close()
            raise
        try:
            self._settle(open_hdf5(path), dataset, order, axes, spacing_mm, channels)
        except BaseException:
            self.close()
            raise

    def _settle(
        self,
        file: h5py.File,
        dataset: str | None,
        order: str,
        axes: str | None,
        spacing_mm: Floats3 | None,
        channels: int | None,
    ) -> None:
        """Find and check the dataset in `file`, from which it will be read, and describe it."""
        self._file = file
        self.warnings.clear()
        with hdf5_errors(self._shown, dataset):
            self._where = dataset or find_volume(self._file, self._shown)
        with hdf5_errors(self._shown, self._where):
            self._dataset = self._open_dataset()
            self._axes = self._settle_axes(order, axes, channels)
            self.info = self._describe(spacing_mm)

    @property
    def dataset(self) -> str:
        """Name of the dataset in the file."""
        return self._where

    def _open_dataset(self) -> h5py.Dataset:
        """Return the dataset, checked and opened with a chunk cache of a known size."""
        found = self._find()
        if not isinstance(found, h5py.Dataset):
            datasets = list_datasets(self._file, self._shown)
            raise FormatError(
                f"is a group, expected a dataset{listing('datasets here', datasets)}",
                code="hdf5.missing",
                file=self._shown,
                where=self._where,
            )
        check_dataset(self._file, found, self._shown, self._where)
        check_numbers(found, self._shown, self._where)
        self._cache_bytes, self._chunk_bytes = cache_plan(self._file, found, self._shown)
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_chunk_cache(CACHE_SLOTS, self._cache_bytes, 1.0)
        # `resolve` went by hard links alone, so this name leads nowhere else.
        return h5py.Dataset(h5py.h5d.open(self._file.id, h5py.h5i.get_name(found.id), access))

    def _find(self) -> Any:
        """Return what the name stands for; where it is nothing, the message lists the datasets there are."""
        try:
            return resolve(self._file, self._where, self._shown)
        except FormatError as error:
            if error.code != "hdf5.missing":
                raise
            datasets = list_datasets(self._file, self._shown)
            message = f"{error.message}{listing('datasets here', datasets)}"
            raise FormatError(message, code=error.code, file=error.file, where=error.where) from error

    def _settle_axes(self, order: str, axes: str | None, channels: int | None) -> FileAxes:
        letters, assumed = read_letters(self._dataset, axes, self._shown, self._where, self.warnings)
        try:
            return make_axes(letters, self._dataset.shape, order, channels, assumed)
        except FormatError as error:
            raise FormatError(error.message, code=error.code, file=self._shown, where=self._where) from error

    def _describe(self, spacing_mm: Floats3 | None) -> VolumeInfo:
        axes, dtype = self._axes, self._dataset.dtype
        affine = read_affine(self._dataset, self._shown, self._where)
        has_affine = affine is not None
        if affine is not None:
            affine = to_dhw(affine, axes.order)
            self._check_spacing(Geometry(affine, axes.shape).spacing_mm, spacing_mm)
        elif spacing_mm is not None:
            affine = affine_from_spacing(spacing_mm, axes.order)
        chunks = None
        if self._dataset.chunks is not None:
            lengths = FileAxes(axes.letters, self._dataset.chunks, axes.order)
            chunks = lengths.shape
        assumed = axes.letters if axes.assumed else None
        hdf5 = {"dataset": self._where, "has_affine": has_affine, "assumed_axes": assumed}
        return VolumeInfo(
            shape=axes.shape,
            channels=axes.length("c"),
            dtype=np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("="),
            geometry=Geometry(affine, axes.shape),
            batch=axes.length("t"),
            axes=axes.order,
            chunks=chunks,
            meta={"hdf5": hdf5},
            labels=is_label_map(self._dataset, self._shown, self._where),
        )

    def _check_spacing(self, stated: Floats3 | None, wanted: Floats3 | None) -> None:
        if stated and wanted and not np.allclose(stated, wanted, rtol=_SPACING_TOLERANCE, atol=0):
            shown = ", ".join(f"{length:g}" for length in stated)
            raise UsageError(
                f"its affine says a spacing of {shown} mm, found {wanted} asked for; leave out --spacing",
                code="usage.spacing",
                file=self._shown,
                where=self._where,
            )

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` takes beside `out` for a window of `shape` (D, H, W)."""
        itemsize = int(self._dataset.dtype.itemsize)
        piece = min(prod(shape) * self.info.channels * itemsize, max(PIECE_BYTES, itemsize))
        # 64-bit integers and booleans pass through a temporary; a compressed chunk is held beside its plain form.
        return self._cache_bytes + 2 * self._chunk_bytes + piece * (2 if itemsize in (1, 8) else 1)

    def load(self, scratch: Path | None) -> None:  # noqa: ARG002  (windows are read from the file itself)
        """Count the chunks the file holds; absent ones read as the fill value, which the user should hear."""
        with hdf5_errors(self._shown, self._where):
            properties = self._dataset.id.get_create_plist()
            if properties.get_layout() == h5py.h5d.CHUNKED:
                present = self._dataset.id.get_num_chunks()
                pairs = zip(self._dataset.shape, self._dataset.chunks, strict=True)
                total = prod(ceil(length / step) for length, step in pairs)
                if present < total:
                    self.warnings.append(
                        f"{total - present} of {total} chunks of {show(self._where)} were never written "
                        f"and read as {self._dataset.fillvalue}"
                    )
            elif properties.get_layout() == h5py.h5d.CONTIGUOUS and self._dataset.id.get_offset() is None:
                self.warnings.append(f"{show(self._where)} was never written and reads as {self._dataset.fillvalue}")

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        axes = self._axes
        spatial = SPATIAL[axes.order]
        low = {"c": 0, "t": batch, "1": 0} | dict(zip(spatial, region.start, strict=True))
        high = {"c": axes.length("c"), "t": batch + 1, "1": 1} | dict(zip(spatial, region.stop, strict=True))
        wanted = Region(tuple(low[a] for a in axes.letters), tuple(high[a] for a in axes.letters))
        for piece in split_pieces(wanted, self._dataset.chunks, self._dataset.dtype.itemsize):
            start = dict(zip(axes.letters, piece.start, strict=True))
            view = axes.to_inner(self._read_piece(piece))
            begin = [start.get(a, 0) - low.get(a, 0) for a in "c" + spatial]
            part = out[tuple(slice(b, b + n) for b, n in zip(begin, view.shape, strict=True))]
            if exceeds_float64(view, out.dtype):
                self._warn_once(ROUNDING_NOTE)
            with np.errstate(over="call", under="ignore", invalid="ignore", call=self._note_overflow):
                _convert(view, part)

    def _note_overflow(self, *_: object) -> None:
        self._warn_once(OVERFLOW_NOTE)

    def _warn_once(self, note: str) -> None:
        if note not in self.warnings:
            self.warnings.append(note)

    def _read_piece(self, piece: Region) -> NDArray[Any]:
        raw = np.empty(piece.shape, self._dataset.dtype)
        try:
            self._dataset.read_direct(raw, piece.slices())
        except H5PY_ERRORS as error:
            with hdf5_errors(self._shown, f"{self._where}{self._find_damage(piece)}"):
                raise error
        return raw

    def _find_damage(self, piece: Region) -> str:
        """Return where in `piece` reading fails: libhdf5 does not say which chunk it was."""
        parts = [piece]
        if self._dataset.chunks is not None:
            parts = split_chunks(piece, self._dataset.chunks)
        for part in parts:
            try:
                self._dataset[part.slices()]
            except H5PY_ERRORS:
                return f"[{', '.join(f'{a}:{b}' for a, b in zip(part.start, part.stop, strict=True))}]"
        return ""

    def digest(self) -> str:
        """Return the SHA-256 of the whole file as lower-case hex."""
        digest = hashlib.sha256()
        self._input.update_digest(digest)
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Raise `RunError` if the file is not the one that was opened (size, mtime, inode)."""
        self._input.check_unchanged()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()
        self._input.close()


def _convert(raw: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy `raw` into `out`: bit for bit where the types agree, else through float64, rounded once."""
    if raw.dtype.kind == "b":
        raw = (raw != 0).view(np.uint8)
    elif raw.dtype.kind in "iu" and raw.dtype.itemsize == 8 and out.dtype.kind == "f":
        raw = raw.astype(np.float64)
    np.copyto(out, raw, casting="same_kind")

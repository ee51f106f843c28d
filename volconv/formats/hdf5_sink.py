"""Writes volumes to a new HDF5 file, window by window, whole or not at all.

`hdf5_layout` makes the file's frame; here voxels go to their chunks by `pwrite`, and each chunk gets its checksum:
at once where one window covers it, else when all is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError, UsageError, io_code, show
from ..region import Region
from ..volume import OutputInfo
from .atomic import PartFile, check_output, reserve, write_all
from .commit import Unit
from .hdf5_axes import to_dhw
from .hdf5_chunks import chunk_shape, fletcher32
from .hdf5_layout import DatasetLayout, lay_out
from .hdf5_tree import is_number
from .rounding import count_not_finite, to_stored

DEFAULT_DATASET = "/data"
_FRAME_BYTES = 8192


class Hdf5Sink:
    """One dataset of a new HDF5 file as a `Sink`; `open_hdf5_sinks` makes several that share a file.

    Parameters
    ----------
    path : Path
    dataset : str or None
        Its name inside the file, by default ``/data``.
    info : OutputInfo
    scratch : Path, optional
        Not used: voxels go straight to their places in the part file.
    force : bool
        Whether an existing file is replaced, the whole of it.

    Raises
    ------
    OutputError
        The output exists (without `force`) or cannot be written.
    UsageError
        HDF5 cannot hold it: a batch, a type that is no plain number, an impossible name.
    """

    def __init__(
        self,
        path: Path,
        dataset: str | None,
        info: OutputInfo,
        *,
        scratch: Path | None = None,  # noqa: ARG002
        force: bool = False,
        shared: _OutputFile | None = None,
    ) -> None:
        self.path: Path | None = path
        self.paths: tuple[Path, ...] = (path,)
        self.info = info
        self.clipped = self.not_finite = 0
        self.layout = _make_layout(path, dataset or DEFAULT_DATASET, info)
        self.scratch_bytes = max(0, self.layout.nbytes + _FRAME_BYTES + len(info.record) - info.nbytes)
        self._file = shared or _OutputFile(path, force)
        self._file.members.append(self)
        self.places: NDArray[np.int64] = np.zeros(0, np.int64)
        self._summed: NDArray[np.bool_] = np.zeros(0, np.bool_)

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `write` takes beside `values` for a window of `shape` (D, H, W): that of one chunk."""
        voxels = min(prod(shape), prod(self.layout.chunks))
        # Rounding to integers holds the values, their result and masks; then the chunk as it is, and to be.
        return voxels * (8 + self.layout.dtype.itemsize + 4) + 3 * self.layout.chunk_bytes + 9 * prod(self.layout.grid)

    def create(self) -> None:
        """Open the part file; called once, before the first `write`. Members of one file may all call it."""
        self._file.create()
        self._summed = np.zeros(self.layout.grid, np.bool_)

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:  # noqa: ARG002  (never a batch)
        """Write `values` (C, d, h, w) at `region`; integers: half to even, clipped, counted."""
        start, stop = region.start, region.stop
        if self.info.origin.axes == "ijk":
            start, stop, values = start[::-1], stop[::-1], values.transpose(0, 3, 2, 1)
        whole = Region((0, *start), (self.info.channels, *stop))
        if "c" not in self.layout.axes:
            whole, values = Region(start, stop), values[0]
        for index in _chunks_of(whole, self.layout.chunks):
            self._write_chunk(index, whole, values)

    def _write_chunk(self, index: tuple[int, ...], window: Region, values: NDArray[Any]) -> None:
        """Write the part of chunk `index` that `window` covers."""
        chunk = Region(
            tuple(i * c for i, c in zip(index, self.layout.chunks, strict=True)),
            tuple((i + 1) * c for i, c in zip(index, self.layout.chunks, strict=True)),
        )
        inside = chunk.clip(Region.whole(self.layout.shape))
        part = inside.clip(window)
        native, clipped = to_stored(values[part.slices(window.start)], self.info.dtype)
        stored = native.astype(self.layout.dtype, copy=False)
        self.clipped += clipped
        self.not_finite += count_not_finite(native)
        place = int(self.places[index])
        if part == inside:
            data = np.zeros(self.layout.chunks, self.layout.dtype)
            data[part.slices(chunk.start)] = stored
            raw = data.data.cast("B")
            self._file.write(raw, place)
            self._file.write(fletcher32(raw), place + len(raw))
            self._summed[index] = True
        else:
            self._merge(stored, part.shift(tuple(-s for s in chunk.start)), place)

    def _merge(self, stored: NDArray[Any], box: Region, place: int) -> None:
        """Put `stored` at `box` of the chunk at `place`: the stretch from its first to its last voxel is rewritten."""
        strides = [prod(self.layout.chunks[axis + 1 :]) for axis in range(len(box.start))]
        first = sum(a * s for a, s in zip(box.start, strides, strict=True))
        last = sum((b - 1) * s for b, s in zip(box.stop, strides, strict=True))
        itemsize = self.layout.dtype.itemsize
        begin, size = place + first * itemsize, (last + 1 - first) * itemsize
        if last + 1 - first == stored.size:
            data = np.ascontiguousarray(stored)
        else:
            data = np.frombuffer(bytearray(self._file.read(begin, size)), self.layout.dtype)
            view = np.lib.stride_tricks.as_strided(data, box.shape, [s * itemsize for s in strides])
            view[...] = stored
        self._file.write(data.data.cast("B"), begin)

    def add_checksums(self) -> None:
        """Give every chunk that was written in parts its checksum."""
        for index in np.argwhere(~self._summed):
            place = int(self.places[tuple(index)])
            data = self._file.read(place, self.layout.chunk_bytes)
            self._file.write(fletcher32(data), place + self.layout.chunk_bytes)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The part file, the same one for all that share it."""
        return () if self._file.part is None else ((self._file.part,),)

    def complete(self) -> None:
        """Complete this dataset; the last of a file's members brings the part file to the disk."""
        self.add_checksums()
        self._file.complete(self)

    def finish(self) -> None:
        """Complete this dataset; the last of a file's members gives the part file its final name."""
        self.complete()
        self._file.publish()

    def abort(self) -> None:
        """Remove the part file, for all that share it; safe to call at any time, twice too."""
        self._file.abort()


def open_hdf5_sinks(path: Path, outputs: Mapping[str, OutputInfo], *, force: bool = False) -> dict[str, Hdf5Sink]:
    """Return a sink for each of several datasets of one new HDF5 file.

    Parameters
    ----------
    path : Path
    outputs : mapping
        Dataset name (``/stage``) to what it holds. All records must be the same: a file has one.
    force : bool
        Whether an existing file is replaced.

    Returns
    -------
    dict of str to Hdf5Sink
        Each is created, written and finished on its own; the file appears when the last one finishes, and one that
        is aborted takes the others along.

    Raises
    ------
    OutputError, UsageError
        As for `Hdf5Sink`; also if two names collide.
    """
    shared = _OutputFile(path, force)
    sinks = {name: Hdf5Sink(path, name, info, shared=shared) for name, info in outputs.items()}
    names = sorted(sink.layout.name for sink in sinks.values())
    for name in names:
        if names.count(name) > 1 or any(other.startswith(name + "/") for other in names):
            raise UsageError(
                f"dataset {show(name)} would also have to be a group or another dataset",
                code="output.format",
                file=str(path),
            )
    if len({info.record for info in outputs.values()}) > 1:
        raise UsageError(
            "outputs with different records cannot share one HDF5 file", code="output.format", file=str(path)
        )
    return sinks


class _OutputFile:
    """The part file behind one or several sinks."""

    def __init__(self, path: Path, force: bool) -> None:
        check_output(path, force=force)
        self.path = path
        self.force = force
        self.members: list[Hdf5Sink] = []
        self.finished: list[Hdf5Sink] = []
        self.part: PartFile | None = None

    def create(self) -> None:
        """Make the part file with room for all members' voxels; further calls do nothing."""
        if self.part is not None:
            return
        need = sum(member.layout.nbytes for member in self.members)
        self.part = PartFile(self.path, self.force, need)
        try:
            os.ftruncate(self.part.fd, 0)
            places = lay_out(
                self.part.fd, [member.layout for member in self.members], self.members[0].info.record, str(self.path)
            )
            reserve(self.part.fd, os.fstat(self.part.fd).st_size, str(self.path))
        except OSError as error:
            self.abort()
            raise RunError(
                f"cannot be written: {error.strerror or error}", code=io_code(error), file=str(self.path)
            ) from error
        except BaseException:
            self.abort()
            raise
        for member, found in zip(self.members, places, strict=True):
            member.places = found

    def write(self, data: memoryview | bytes, place: int) -> None:
        write_all(self._fd(), data, place, str(self.path))

    def read(self, place: int, size: int) -> bytes:
        try:
            data = os.pread(self._fd(), size, place)
        except OSError as error:
            raise RunError(f"cannot be read back: {error.strerror}", code="run.io", file=str(self.path)) from error
        if len(data) < size:
            raise RunError("was cut short while it was being written", code="run.io", file=str(self.path))
        return data

    def _fd(self) -> int:
        if self.part is None or self.part.fd < 0:
            raise RunError("was aborted, or not yet created", file=str(self.path))
        return self.part.fd

    def complete(self, member: Hdf5Sink) -> None:
        """Bring the file to the disk once every member is complete."""
        self._fd()
        if member not in self.finished:
            self.finished.append(member)
        if self.part is not None and self.is_finished:
            self.part.complete()

    @property
    def is_finished(self) -> bool:
        return len(self.finished) == len(self.members)

    def publish(self) -> None:
        """Show the file once every member is complete."""
        if self.part is not None and self.is_finished:
            self.part.publish()

    def abort(self) -> None:
        if self.part is not None:
            self.part.abort()


def _make_layout(path: Path, dataset: str, info: OutputInfo) -> DatasetLayout:
    name = "/" + dataset.strip("/")
    parts = name[1:].split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise UsageError(f"{show(dataset)!r} is no name for a dataset", code="output.format", file=str(path))
    if info.batch > 1:
        raise UsageError(
            f"HDF5 cannot hold a batch of {info.batch} volumes; write .nii or .nii.gz",
            code="output.format",
            file=str(path),
        )
    if not is_number(info.dtype) or info.dtype.kind == "b":
        raise UsageError(f"HDF5 output cannot hold type {info.dtype}", code="output.format", file=str(path))
    order = info.origin.axes
    shape = info.shape[::-1] if order == "ijk" else info.shape
    chunks: tuple[int, ...] = chunk_shape((shape[0], shape[1], shape[2]))
    lengths: tuple[int, ...] = shape
    if info.channels > 1:
        lengths, chunks = (info.channels, *shape), (1, *chunks)
    affine = info.geometry.affine
    return DatasetLayout(
        name=name,
        axes="zyx" if info.channels == 1 else "czyx",
        shape=lengths,
        chunks=chunks,
        dtype=info.dtype.newbyteorder("<"),
        affine=None if affine is None else to_dhw(affine, order),
        labels=info.labels,
    )


def _chunks_of(window: Region, chunks: tuple[int, ...]) -> product[tuple[int, ...]]:
    """Return the indices of the chunks that `window` touches, in the file's order."""
    return product(*(range(a // n, -(-b // n)) for a, b, n in zip(window.start, window.stop, chunks, strict=True)))

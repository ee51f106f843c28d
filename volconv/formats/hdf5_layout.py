"""Lays out an HDF5 output file: everything but the voxels, whose places in the file it returns.

The voxels then go straight to their places (`hdf5_sink`), so that the file's bytes depend on nothing but its content:
chunks stand in index order whatever order they are written in, and no time stamp is stored.

h5py must never meet a full disk: after a failed write libhdf5 crashes the interpreter at its exit
(https://github.com/h5py/h5py/issues/914). So it is given a file-like object that keeps the first error and takes
every later write in silence; the error is raised once the library has closed the file in peace.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, prod
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5fd, h5g, h5p, h5s, h5t
from numpy.typing import NDArray

from ..errors import RunError, io_code
from .hdf5_chunks import CHECKSUM_BYTES
from .hdf5_guard import H5PY_ERRORS
from .hdf5_record import RECORD


@dataclass(frozen=True, eq=False)
class DatasetLayout:
    """A dataset to be laid out.

    Attributes
    ----------
    name : str
        Absolute, groups included.
    axes : str
        ``zyx`` or ``czyx``.
    shape, chunks : tuple of int
        In that order of axes.
    dtype : numpy dtype
        Little-endian.
    affine : (4, 4) float64 array or None
        Over (x, y, z).
    labels : bool
        Whether values are labels: said by an attribute ``intent``, as NIfTI's intent code says it.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64] | None
    labels: bool = False

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(ceil(n / c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk without its checksum."""
        return prod(self.chunks) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all chunks with their checksums, and an entry each in the index."""
        return prod(self.grid) * (self.chunk_bytes + CHECKSUM_BYTES + 32)


def lay_out(fd: int, datasets: Sequence[DatasetLayout], record: str, shown: str) -> list[NDArray[np.int64]]:
    """Write the file's frame to `fd`, which is empty.

    Returns
    -------
    list of int64 array
        For each dataset the byte offset of each chunk in the file, of shape `DatasetLayout.grid`.

    Raises
    ------
    RunError
        The disk fails or is full.
    """
    sizes = {dataset.chunk_bytes + CHECKSUM_BYTES for dataset in datasets}
    stream = _Frame(fd, sizes)
    places = _build(stream, datasets, record, shown)
    if sorted(stream.skipped) != sorted(int(p) for place in places for p in place.ravel()):
        # Something else was as long as a chunk: write the empty chunks too.
        os.ftruncate(fd, 0)
        places = _build(_Frame(fd, set()), datasets, record, shown)
    return places


class _Frame:
    """The file h5py writes to: skips empty chunks, whose place stays a hole, and never fails.

    Chunks are allocated when a dataset is created, as only that fixes their order; libhdf5 then fills them. Not
    writing this fill saves a pass over the whole file.
    """

    def __init__(self, fd: int, chunk_sizes: set[int]) -> None:
        self.fd = fd
        self.chunk_sizes = chunk_sizes
        self.skipped: list[int] = []
        self.error: OSError | None = None
        self.place = 0
        self.end = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.end}[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: memoryview) -> int:
        count = 0
        with self._guard():
            count = os.preadv(self.fd, [buffer], self.place)
        self.place += count
        return count

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        return bytes(data[: self.readinto(memoryview(data))])

    def write(self, data: memoryview) -> int:
        size = len(data)
        if size in self.chunk_sizes:
            self.skipped.append(self.place)
        else:
            self._write(memoryview(data).cast("B"), self.place)
        self.place += size
        self.end = max(self.end, self.place)
        return size

    def _write(self, data: memoryview, place: int) -> None:
        while self.error is None and len(data):
            with self._guard():
                count = os.pwrite(self.fd, data, place)
                data, place = data[count:], place + count

    def truncate(self, size: int) -> int:
        with self._guard():
            os.ftruncate(self.fd, size)
        self.end = size
        return size

    def flush(self) -> None:
        pass

    @contextlib.contextmanager
    def _guard(self) -> Any:
        try:
            yield
        except OSError as error:
            # Without its traceback, whose frames would hold h5py's objects until the interpreter ends.
            self.error = self.error or error.with_traceback(None)


def _build(stream: _Frame, datasets: Sequence[DatasetLayout], record: str, shown: str) -> list[NDArray[np.int64]]:
    access = h5p.create(h5p.FILE_ACCESS)
    try:
        access.set_fileobj_driver(h5fd.fileobj_driver, stream)
        # Metadata with checksums that HDF5 1.10 reads: "latest" is beyond HDF5 1.12, "v108" leaves some unprotected.
        access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
        creation = h5p.create(h5p.FILE_CREATE)
        creation.set_obj_track_times(False)
        with h5py.File(h5f.create(b"volconv", h5f.ACC_TRUNC, creation, access)) as file:
            if record:
                _put_text(file.id, RECORD, record)
            _make_groups(file, datasets)
            places = [_make_dataset(file, dataset) for dataset in datasets]
    except H5PY_ERRORS as error:
        if stream.error is None:
            raise
        raise RunError(f"cannot be written: {stream.error.strerror}", code=io_code(stream.error), file=shown) from error
    finally:
        # It holds `stream`: closed only by libhdf5's exit handler, it would call Python when there is none any more.
        access.close()
    if stream.error is not None:
        raise RunError(
            f"cannot be written: {stream.error.strerror}", code=io_code(stream.error), file=shown
        ) from stream.error
    return places


def _make_groups(file: h5py.File, datasets: Sequence[DatasetLayout]) -> None:
    creation = h5p.create(h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    made = {""}
    for dataset in datasets:
        parts = dataset.name.strip("/").split("/")
        for depth in range(1, len(parts)):
            path = "/".join(parts[:depth])
            if path not in made:
                h5g.create(file.id, path.encode(), gcpl=creation)
                made.add(path)


def _make_dataset(file: h5py.File, layout: DatasetLayout) -> NDArray[np.int64]:
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk(layout.chunks)
    creation.set_fletcher32()
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_obj_track_times(False)
    kind = h5t.py_create(layout.dtype)
    made = h5d.create(file.id, layout.name.encode(), kind, h5s.create_simple(layout.shape), creation)
    _put_text(made, "axes", layout.axes)
    if layout.labels:
        _put_text(made, "intent", "label")
    if layout.affine is not None:
        attribute = h5a.create(made, b"affine", h5t.IEEE_F64LE, h5s.create_simple((4, 4)))
        attribute.write(np.ascontiguousarray(layout.affine, np.float64))
    return _places(made, layout)


def _places(dataset: Any, layout: DatasetLayout) -> NDArray[np.int64]:
    places = np.full(layout.grid, -1, np.int64)

    def note(chunk: Any) -> None:
        index = tuple(o // c for o, c in zip(chunk.chunk_offset, layout.chunks, strict=True))
        places[index] = chunk.byte_offset

    dataset.chunk_iter(note)
    flat = np.sort(places, axis=None)
    size = layout.chunk_bytes + CHECKSUM_BYTES
    if flat[0] < 0 or any(b - a < size for a, b in pairwise(flat.tolist())):
        raise RunError("this HDF5 library does not lay out chunks when a dataset is created", code="run.library")
    return places


def _put_text(where: Any, name: str, text: str) -> None:
    """Store `text` with a fixed length: text of variable length lies in a heap that has no checksum."""
    data = text.encode()
    kind = h5t.C_S1.copy()
    kind.set_size(len(data))
    kind.set_cset(h5t.CSET_UTF8)
    kind.set_strpad(h5t.STR_NULLPAD)
    attribute = h5a.create(where, name.encode(), kind, h5s.create(h5s.SCALAR))
    attribute.write(np.array(data, f"S{len(data)}"), mtype=kind)

"""HDF5 weights: every numeric dataset ``/a/b/weight`` is the tensor ``a.b.weight``; nothing outside the file is read.

External links, external raw storage and virtual datasets with sources elsewhere would let a file bring in any other
file of this machine; one of them anywhere refuses the whole file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, show
from ..hdf5_stream import Hdf5Stream, find_superblock
from .base import TensorInfo, WeightsFormat, allocate, refuse_duplicate
from .weight_file import WeightFile

MAX_OBJECTS = 20_000
MAX_RATIO = 1032
"""Times its stored bytes a dataset may grow when unpacked: what deflate, the strongest filter in use, can do."""

_FAULTS = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, AttributeError, MemoryError)


def is_hdf5(file: WeightFile) -> bool:
    """Whether the file has HDF5's signature, at its start or behind a user block of 512, 1024, ... bytes."""
    return find_superblock(file.read_into, file.size) is not None


class Hdf5Reader:
    """An HDF5 file; groups become dots, soft links to datasets further names of them."""

    def __init__(self, file: WeightFile) -> None:
        self._file = file
        self._datasets: dict[str, str] = {}
        self.tensors: dict[str, TensorInfo] = {}
        # Metadata is read twice: first so that libhdf5 comes to the end of damaged heaps, then by libhdf5 alone.
        with self._faults(None), h5py.File(Hdf5Stream(file.read_into, file.size), "r") as self._h5:
            self._list()
        with self._faults(None):
            self._h5 = h5py.File(os.fsencode(file.path), "r", locking=False)
        try:
            self._check_same_file()
            self._datasets, self.tensors = {}, {}
            with self._faults(None):
                self._list()
        except BaseException:
            self.close()
            raise

    def _check_same_file(self) -> None:
        with self._faults(None):
            status = self._file.path.stat()
        if (status.st_dev, status.st_ino) != self._file.identity:
            raise WeightsError("replaced while it was opened; try again", code="weights.changed", file=self._file.name)

    @contextmanager
    def _faults(self, where: str | None) -> Iterator[None]:
        try:
            yield
        except WeightsError:
            raise
        except _FAULTS as error:
            text = " ".join(str(error.args[0] if error.args else error).split())[:200] or type(error).__name__
            if "already open for write" in text or "consistency flags" in text:
                text = "not closed properly by the program that wrote it"
            raise WeightsError(
                f"damaged HDF5: {show(text)}", code="weights.hdf5", file=self._file.name, where=where
            ) from error

    def _fail(self, path: str, found: str, expected: str) -> None:
        raise WeightsError(
            f"HDF5: found {found}, expected {expected}", code="weights.hdf5", file=self._file.name, where=path
        )

    def _list(self) -> None:
        seen = set()
        stack: list[tuple[str, Any]] = [("", self._h5)]
        links: list[tuple[str, str]] = []
        count = 0
        while stack:
            path, group = stack.pop()
            identity = h5py.h5o.get_info(group.id).addr
            if identity in seen:  # hard links may form cycles
                continue
            seen.add(identity)
            for name in group:
                count += 1
                if count > MAX_OBJECTS:
                    self._fail(path, "more objects", f"at most {MAX_OBJECTS}")
                self._visit(f"{path}/{name}", group, name, stack, links)
        for path, target in links:
            self._add_link(path, target)

    def _visit(
        self, path: str, group: Any, name: str, stack: list[tuple[str, Any]], links: list[tuple[str, str]]
    ) -> None:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            self._fail(path, "an external link", "data inside the file")
        if isinstance(link, h5py.SoftLink):
            target = link.path
            links.append((path, target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"))
            return
        node = group[name]
        if isinstance(node, h5py.Group):
            stack.append((path, node))
        elif isinstance(node, h5py.Dataset):
            self._add(path, node)

    def _add(self, path: str, dataset: Any) -> None:
        plist = dataset.id.get_create_plist()
        if plist.get_external_count() > 0:
            self._fail(path, "external storage", "data inside the file")
        if plist.get_layout() == h5py.h5d.VIRTUAL:
            files = {plist.get_virtual_filename(i) for i in range(plist.get_virtual_count())}
            if files - {"."}:
                self._fail(path, "a virtual dataset of other files", "data inside the file")
        self._name(path, path, _describe(dataset))

    def _add_link(self, path: str, target: str) -> None:
        """List a soft link that ends at a dataset; others name nothing that is not listed anyway."""
        real = "/" + "/".join(part for part in target.split("/") if part not in ("", "."))
        key = _to_key(real)
        if self._datasets.get(key) == real:
            self._name(path, real, self.tensors[key])

    def _name(self, path: str, real: str, info: TensorInfo) -> None:
        key = _to_key(path)
        if key in self._datasets:
            refuse_duplicate(self._file, key)
        self._datasets[key] = real
        self.tensors[key] = info

    def read(self, key: str) -> NDArray[Any]:
        """Return the tensor `key`; a dataset that was never written in full is refused."""
        info = self.tensors[key]
        with self._faults(key):
            dataset = self._h5[self._datasets[key]]
            self._check_stored(key, dataset, info)
            out = allocate(info.shape, np.dtype(info.dtype), self._file, key)
            if out.size:
                dataset.read_direct(out)
        return out

    def _check_stored(self, key: str, dataset: Any, info: TensorInfo) -> None:
        if dataset.is_virtual or not info.nbytes:
            return
        stored = dataset.id.get_storage_size()
        if dataset.chunks:
            wanted = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
            found = dataset.id.get_num_chunks()
            if found < wanted:
                self._fail(key, f"{found} chunks", f"{wanted}: the rest was never written")
        elif stored < info.nbytes:
            self._fail(key, f"{stored} bytes", f"{info.nbytes}: the rest was never written")
        if info.nbytes > MAX_RATIO * stored or stored > self._file.size:
            self._fail(key, f"{stored} bytes stored", f"more for a tensor of {info.nbytes}, and within the file")

    def close(self) -> None:
        """Close the library's own handle."""
        self._h5.close()


def _describe(dataset: Any) -> TensorInfo:
    shape = dataset.shape
    try:
        dtype = dataset.dtype
    except TypeError:  # a type without NumPy's equivalent
        return TensorInfo(tuple(shape or ()), "unknown", 0)
    name = dtype.name if dtype.kind in "fiu" and shape is not None else _other_name(dtype, shape)
    return TensorInfo(tuple(shape or ()), name, math.prod(shape or ()) * dtype.itemsize)


def _other_name(dtype: np.dtype[Any], shape: Any) -> str:
    if shape is None:
        return "null"
    if h5py.check_string_dtype(dtype) is not None:
        return "str"
    return "compound" if dtype.names else show(dtype.name[:40])


def _to_key(path: str) -> str:
    return path.strip("/").replace("/", ".")


HDF5 = WeightsFormat("HDF5", is_hdf5, Hdf5Reader)

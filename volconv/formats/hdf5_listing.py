"""What an HDF5 file holds, as plain data for a report: names, shapes, types, chunks and attribute names, no values."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import h5py

from ..errors import show
from .hdf5_guard import hdf5_errors, look_into
from .hdf5_tree import Link, walk
from .input_file import InputFile


def list_hdf5(path: Path) -> list[dict[str, Any]]:
    """Return an entry a group, dataset and link, parents first.

    Returns
    -------
    list of dict
        ``name``, ``type`` (group, dataset, datatype, soft link, external link), ``attributes`` (names), and for a
        dataset ``shape dtype chunks filters``.

    Raises
    ------
    MissingFileError, FormatError
        The file cannot be opened or is damaged.
    """
    with closing(InputFile(path)) as opened, look_into(opened) as file, hdf5_errors(str(path)):
        root = {"name": "/", "type": "group", "attributes": _attributes(file)}
        return [root, *(_entry(name, item) for name, item in walk(file))]


def _entry(name: str, item: Any) -> dict[str, Any]:
    if isinstance(item, Link):
        kind = "external link" if item.external else "soft link"
        return {"name": show(name), "type": kind} | ({} if item.external else {"target": show(item.target)})
    kind = {h5py.Group: "group", h5py.Dataset: "dataset"}.get(type(item), "datatype")
    entry: dict[str, Any] = {"name": show(name), "type": kind, "attributes": _attributes(item)}
    if isinstance(item, h5py.Dataset):
        entry |= _describe(item)
    return entry


def _attributes(item: Any) -> list[str]:
    names = (key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key for key in item.attrs)
    return sorted(show(name) for name in names)


def _describe(dataset: h5py.Dataset) -> dict[str, Any]:
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        # Even the shape of a virtual dataset may be asked of another file.
        return {"storage": "in other files or datasets, not opened"}
    try:
        dtype = str(dataset.dtype)
    except TypeError:
        dtype = "unknown"
    chunked = properties.get_layout() == h5py.h5d.CHUNKED
    filters = [properties.get_filter(index) for index in range(properties.get_nfilters())]
    return {
        "shape": None if dataset.shape is None else list(dataset.shape),
        "dtype": dtype,
        "chunks": list(properties.get_chunk()) if chunked else None,
        "filters": [name.decode("utf-8", "replace") or str(code) for code, _flags, _values, name in filters],
    }

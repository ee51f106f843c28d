"""What lies in an HDF5 file: walking it safely, and finding the one dataset that is a volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py

from ..errors import FormatError, VolconvError, show
from .hdf5_guard import check_dataset, read_link, to_key

NUMBERS = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}
"""Kinds and byte sizes of the number types that are read."""

_MAX_OBJECTS = 100_000
_SHOWN = 12


@dataclass(frozen=True)
class Link:
    """A name that stands for another one, in this file or (`external`) elsewhere; never followed when walking."""

    target: str
    external: bool


def walk(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Yield (path, group, dataset, datatype or `Link`) of all there is, parents first, each object once.

    Goes by hand over an explicit stack: files with thousands of nested groups are legal. Stops after 100,000 names.
    """
    stack: list[tuple[str, Any]] = [("", file["/"])]
    seen = {h5py.h5o.get_info(file["/"].id).addr}
    count = 0
    while stack:
        prefix, group = stack.pop()
        below = []
        for key in group:
            count += 1
            if count > _MAX_OBJECTS:
                return
            name = key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key
            path = f"{prefix}/{name}"
            kind, target = read_link(group, name)
            if kind != "hard":
                yield path, Link(target, kind == "external")
                continue
            item = group[to_key(name)]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            yield path, item
            if isinstance(item, h5py.Group):
                below.append((path, item))
        stack += reversed(below)


def is_number(dtype: Any) -> bool:
    """Return whether values of `dtype` are plain numbers that can be read (booleans count as 0 and 1)."""
    return dtype.kind == "b" or (dtype.names is None and dtype.itemsize in NUMBERS.get(dtype.kind, ()))


def find_volume(file: h5py.File, shown: str) -> str:
    """Return the name of the only volume-like dataset: numbers in 3 to 5 dimensions, none of length 0.

    Raises
    ------
    FormatError
        There is none, or several; the message lists what there is, with shapes and types.
    """
    fitting: list[tuple[str, str]] = []
    others: list[str] = []
    for name, item in walk(file):
        if not isinstance(item, h5py.Dataset):
            continue
        fits, words = _look_at(file, item, shown, name)
        if fits:
            fitting.append((name, words))
        else:
            others.append(words)
    if len(fitting) == 1:
        return fitting[0][0]
    if fitting:
        names = [words for _, words in fitting]
        raise FormatError(
            f"holds {len(fitting)} volumes{listing('name one behind a colon', names)}",
            code="hdf5.ambiguous",
            file=shown,
        )
    raise FormatError(
        f"holds no dataset of numbers in 3 to 5 dimensions{listing('datasets', others)}",
        code="hdf5.missing",
        file=shown,
    )


def list_datasets(file: h5py.File, shown: str) -> list[str]:
    """Return name, shape and type of every dataset."""
    return [_look_at(file, item, shown, name)[1] for name, item in walk(file) if isinstance(item, h5py.Dataset)]


def _look_at(file: h5py.File, dataset: h5py.Dataset, shown: str, name: str) -> tuple[bool, str]:
    """Return whether `dataset` is volume-like, and its name, shape and type; an odd one must not hide the others."""
    properties = dataset.id.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL:
        try:
            check_dataset(file, dataset, shown, name)
        except VolconvError:
            return False, f"{name} (virtual, out of other files)"
    try:
        shape, dtype = dataset.shape, dataset.dtype
    except TypeError:
        return False, f"{name} (of a type NumPy lacks)"
    fits = shape is not None and 3 <= len(shape) <= 5 and all(shape) and is_number(dtype)
    return fits, f"{name} {shape} {dtype}"


def listing(lead: str, names: list[str]) -> str:
    """Return ``; lead: a, b and 5 more``, nothing for no names."""
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"; {lead}: {', '.join(show(name) for name in names[:_SHOWN])}{more}"


def check_numbers(dataset: h5py.Dataset, shown: str, where: str) -> None:
    """Raise `FormatError` unless the dataset holds plain numbers in 2 to 5 dimensions, none of length 0."""
    shape, dtype = dataset.shape, dataset.dtype
    if not is_number(dtype):
        raise FormatError(
            f"has type {show(str(dtype))} and shape {shape}, expected integers of 1 to 8 or floats of 2 to 8 bytes",
            code="hdf5.type",
            file=shown,
            where=where,
        )
    if shape is None or not 2 <= len(shape) <= 5 or not all(shape):
        raise FormatError(
            f"has shape {shape} and type {dtype}, expected 3 or 4 dimensions, none of length 0",
            code="hdf5.type",
            file=shown,
            where=where,
        )

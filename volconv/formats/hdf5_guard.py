"""Opening HDF5 files nobody vouched for: one-line errors, an end to it, and no way out of the named file.

libhdf5 follows external links, external raw storage and virtual datasets into any file this process may read.
Everything here looks at links and creation properties first; nothing outside the file is ever opened.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from ..errors import FormatError, VolconvError, show
from ..hdf5_stream import Hdf5Stream, find_superblock
from .input_file import InputFile

_MAX_LINKS = 10_000

H5PY_ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError, MemoryError)
"""What h5py makes of libhdf5's error stack, and of metadata that makes no sense to it."""

_UNCLOSED = re.compile(r"consistency flags|already open for (write|SWMR)")
_NOT_CLOSED = "the file was not closed properly by the program that wrote it (or is being written); write it anew"
_PREFIX = re.compile(r"\A(Unable to|Can't) [^(]*\((.*)\)\Z", re.DOTALL)


@contextmanager
def hdf5_errors(file: str, where: str | None = None) -> Iterator[None]:
    """Turn whatever h5py raises inside the block into a `FormatError` of one line about `file` and `where`."""
    try:
        yield
    except VolconvError:
        raise
    except H5PY_ERRORS as error:
        text = _explain(error)
        code = "hdf5.unclosed" if text == _NOT_CLOSED else "hdf5.damaged"
        raise FormatError(text, code=code, file=file, where=where) from error


def _explain(error: BaseException) -> str:
    """Reduce libhdf5's words to their last cause."""
    # str() of a KeyError is the repr of its text.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip() or type(error).__name__
    if _UNCLOSED.search(text):
        return _NOT_CLOSED
    if isinstance(error, OSError) and error.errno and error.strerror:
        text = error.strerror
    found = _PREFIX.match(text)
    text = found[2] if found else text
    if "filter returned failure" in text:
        text = "what is stored there fails its checksum, or cannot be decompressed"
    if "unable to lock file" in text:
        text += "; the file system refuses locks, set HDF5_USE_FILE_LOCKING=FALSE"
    return f"HDF5 cannot read this: {show(' '.join(text.split()))[:300]}"


@contextmanager
def look_into(file: InputFile) -> Iterator[h5py.File]:
    """Yield `file` opened by a `Hdf5Stream`: names, properties and attributes can be asked for safely, values slowly.

    What is to be read by `open_hdf5` is looked at here first: that reads the same metadata again.

    Raises
    ------
    FormatError
        It is no HDF5 file, or a damaged or unfinished one.
    """
    with hdf5_errors(file.name):
        if find_superblock(file.read_into, file.size) is None:
            raise FormatError(
                f"is not an HDF5 file: no signature found, it begins with {file.read(0, 8)!r}",
                code="hdf5.signature",
                file=file.name,
            )
        opened = h5py.File(Hdf5Stream(file.read_into, file.size), "r")
    # left to libhdf5's exit handler, it would call Python when there is none any more
    with opened:
        yield opened


def open_hdf5(path: Path) -> h5py.File:
    """Open a file that has been looked into for reading by libhdf5 alone, without locks.

    Raises
    ------
    FormatError
        It is a damaged or unfinished HDF5 file.
    """
    with hdf5_errors(str(path)):
        try:
            return h5py.File(os.fsencode(path), "r", locking=False)
        except OSError as error:
            # This process has it open already, with locks: libhdf5 wants the same of both.
            if "locking flag" not in str(error):
                raise
            return h5py.File(os.fsencode(path), "r")


def resolve(file: h5py.File, name: str, shown: str) -> Any:
    """Return the object called `name`, following hard links, and soft links that stay inside the file.

    Parameters
    ----------
    file : h5py.File
    name : str
        Path inside the file.
    shown : str
        The file's name in messages.

    Returns
    -------
    h5py.Group, h5py.Dataset or h5py.Datatype
        A dataset is returned unchecked; `check_dataset` comes before anything is asked of it.

    Raises
    ------
    FormatError
        There is no such object, or the way to it leaves the file or goes in circles.
    """
    here: Any = file["/"]
    todo = deque(_parts(name))
    for _ in range(_MAX_LINKS):
        if not todo:
            return here
        part = todo.popleft()
        if not isinstance(here, h5py.Group) or not here.id.links.exists(to_key(part)):
            raise FormatError(
                f"there is no {part!r} on the way to {name!r} in this file", code="hdf5.missing", file=shown
            )
        kind, target = read_link(here, part)
        if kind == "external":
            raise FormatError(
                f"{part!r} is a link into another file, which is never followed; name that file itself",
                code="hdf5.outside",
                file=shown,
                where=name,
            )
        if kind == "soft":
            here = file["/"] if target.startswith("/") else here
            todo.extendleft(reversed(_parts(target)))
        else:
            here = here[to_key(part)]
    raise FormatError("the links on the way to it go in circles", code="hdf5.link", file=shown, where=name)


def read_link(group: h5py.Group, name: str) -> tuple[str, str]:
    """Return ``hard``, ``soft`` or ``external``, and where a soft link leads.

    By the low-level calls: ``name in group`` and ``group.get`` open the other file of an external link to see.
    """
    kind = group.id.links.get_info(to_key(name)).type
    if kind == h5py.h5l.TYPE_HARD:
        return "hard", ""
    if kind == h5py.h5l.TYPE_SOFT:
        return "soft", group.id.links.get_val(to_key(name)).decode("utf-8", "surrogateescape")
    return "external", ""


def to_key(name: str) -> bytes:
    """Return a name inside a file as bytes: h5py takes these for names that are no UTF-8, and gives such back."""
    return name.encode("utf-8", "surrogateescape")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def check_dataset(file: h5py.File, dataset: h5py.Dataset, shown: str, where: str) -> None:
    """Raise `FormatError` if reading `dataset` would leave the file or needs a filter that is not there.

    Looks at creation properties alone: asking a virtual dataset for its shape may already open its sources.
    """
    todo, seen = [dataset], 0
    while todo:
        seen += 1
        if seen > _MAX_LINKS:
            raise FormatError("virtual datasets are nested without end", code="hdf5.link", file=shown, where=where)
        properties = todo.pop().id.get_create_plist()
        if properties.get_external_count():
            raise FormatError(
                "its values lie in another file (external storage), which is never read; copy it with h5repack",
                code="hdf5.outside",
                file=shown,
                where=where,
            )
        _check_filters(properties, shown, where)
        if properties.get_layout() == h5py.h5d.VIRTUAL:
            todo += _virtual_sources(file, properties, shown, where)


def _check_filters(properties: Any, shown: str, where: str) -> None:
    for index in range(properties.get_nfilters()):
        code, _flags, _values, name = properties.get_filter(index)
        if not h5py.h5z.filter_avail(code):
            label = show(name.decode("utf-8", "replace")) if name else "unnamed"
            raise FormatError(
                f"it is compressed with filter {code} ({label}), which this HDF5 library lacks; rewrite it with gzip",
                code="hdf5.filter",
                file=shown,
                where=where,
            )


def _virtual_sources(file: h5py.File, properties: Any, shown: str, where: str) -> list[h5py.Dataset]:
    """Return the datasets that a virtual one is put together from; all must be named and lie in the file itself."""
    names = set()
    for index in range(properties.get_virtual_count()):
        source = properties.get_virtual_filename(index)
        name = properties.get_virtual_dsetname(index)
        if source != "." or "%" in name:
            raise FormatError(
                f"is put together from another file ({show(source)}), which is never read; copy it with h5repack",
                code="hdf5.outside",
                file=shown,
                where=where,
            )
        names.add(name)
    found = [resolve(file, name, shown) for name in sorted(names)]
    if not all(isinstance(item, h5py.Dataset) for item in found):
        raise FormatError(
            "is put together from things that are no datasets", code="hdf5.outside", file=shown, where=where
        )
    return found


def is_hdf5(path: Path) -> bool:
    """Return whether a file's content is HDF5's, whatever its name; the file is not opened with libhdf5's locks."""
    try:
        file = InputFile(path)
    except VolconvError:
        return False
    try:
        return find_superblock(file.read_into, file.size) is not None
    except VolconvError:
        return False
    finally:
        file.close()

"""Finds the files of raw numbers that a document beside them describes, and that document from such a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import WeightsError, show
from .byte_sources import ByteSource, FileBytes, JoinedBytes, PartOf
from .contained import is_absent, open_below, open_contained
from .json_input import MAX_JSON
from .raw_manifest import Group, Manifest, fail
from .weight_file import WeightFile

MAX_SEEN = 4096
"""Entries of a folder that are looked at."""

MAX_DOCUMENTS = 32
MAX_BYTES = 2 * MAX_JSON
"""Of all documents that are looked at."""


def find_sources(document: WeightFile, manifest: Manifest, opened: WeightFile | None = None) -> list[ByteSource]:
    """Return the numbers of each group.

    The files that the document names are taken. Where none of them is there, it is the only ``.bin`` beside it that has
    as many bytes as the manifest wants.

    Parameters
    ----------
    opened : WeightFile, optional
        One of the files, where that is open already; the others become the document's.

    Raises
    ------
    WeightsError
        If a file is missing, not below the document's folder, or of another size.
    """
    files = _Files(document, opened)
    names = [name for group in manifest for name in group.paths]
    missing = [name for name in names if files.is_absent(name)]
    if len(missing) < len(names):
        if missing:
            fail(document, None, f"no file {show(missing[0][:120])!r}", "every file that it names")
        return [files.join(group) for group in manifest]
    total = sum(group.stored_bytes for group in manifest)
    whole = FileBytes(files.open(_find_only(document, total, missing)), 0, total)
    out: list[ByteSource] = []
    start = 0
    for group in manifest:
        out.append(PartOf(whole, start, group.stored_bytes))
        start += group.stored_bytes
    return out


class _Files:
    def __init__(self, document: WeightFile, opened: WeightFile | None) -> None:
        self.document = document
        self.opened = opened
        self.seen: dict[str, WeightFile] = {}

    def is_absent(self, name: str) -> bool:
        return is_absent(self.document, name)

    def open(self, name: str) -> WeightFile:
        if self.opened is not None and name == self.opened.path.name:
            return self.opened
        if name not in self.seen:
            self.seen[name] = open_contained(self.document, name)
        return self.seen[name]

    def join(self, group: Group) -> ByteSource:
        parts = [self.open(name) for name in group.paths]
        found = sum(part.size for part in parts)
        if found != group.stored_bytes:
            names = show(", ".join(group.paths)[:120])
            fail(self.document, None, f"{found} bytes in {names}", f"{group.stored_bytes} for its tensors")
        return JoinedBytes(FileBytes(part, 0, part.size) for part in parts)


def _find_only(document: WeightFile, total: int, missing: list[str]) -> str:
    """Return the name of the only file beside `document` that has `total` bytes and ends in ``.bin``."""
    fits = [name for name in _list_beside(document, ".bin") if _size(document.path.parent / name) == total]
    if len(fits) != 1:
        named = f"no file {show(missing[0][:120])!r}, and " if missing else ""
        fail(document, None, f"{named}{len(fits)} files .bin of {total} bytes beside it", "one")
    return fits[0]


def find_document(
    file: WeightFile, is_document: Callable[[WeightFile], bool], read: Callable[[WeightFile], Manifest]
) -> WeightFile | None:
    """Return the document beside `file` that describes it, opened; ``model.json`` before all others, else the first.

    Parameters
    ----------
    is_document, read : callable
        Whether a file is such a document, and what it says.
    """
    names = sorted(_list_beside(file, ".json"), key=lambda name: (name != "model.json", name))
    left = MAX_BYTES
    for name in names[:MAX_DOCUMENTS]:
        try:
            document = open_below(file, name)
        except WeightsError:
            continue
        left -= document.size
        try:
            if left >= 0 and is_document(document) and _speaks_of(document, read(document), file):
                return document
        except WeightsError:
            pass
        document.close()
    return None


def _speaks_of(document: WeightFile, manifest: Manifest, file: WeightFile) -> bool:
    names = [name for group in manifest for name in group.paths]
    if file.path.name in names:
        return True
    total = sum(group.stored_bytes for group in manifest)
    if total != file.size or not all(is_absent(document, name) for name in names):
        return False
    return _find_only(document, total, names) == file.path.name


def _list_beside(file: WeightFile, suffix: str) -> list[str]:
    """Return the names of that end in the folder of `file`: of regular files, not of links."""
    out = []
    try:
        with os.scandir(file.path.parent) as entries:
            for _, entry in zip(range(MAX_SEEN), entries, strict=False):
                if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False):
                    out.append(entry.name)
    except OSError:
        return []
    return sorted(out)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return -1

"""Paths that a spec names: relative to its folder, and inside it after links are resolved."""

from __future__ import annotations

import re
import stat
from pathlib import Path, PurePosixPath

from ..values import Place, describe
from .tree import fail_at

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LONGEST = 4096
_ALLOWED = "a path relative to the spec's folder and inside it"


def check_path(text: str, place: Place) -> str:
    """Return `text` if it can be a path in a spec, without looking at the disk.

    Raises
    ------
    SpecError
        It is empty, absolute, leads out by ``..``, is a URL, is over 4096 characters, or holds control characters.
    """
    if not text or len(text) > _LONGEST or not text.isprintable():
        fail_at(place, describe(text), f"a path of printable characters, at most {_LONGEST}", code="spec.path")
    if _URL.match(text):
        fail_at(
            place, f"the address {describe(text)}", f"{_ALLOWED}; nothing is fetched from a network", code="spec.path"
        )
    if text.startswith(("/", "~")) or "\\" in text:
        fail_at(place, describe(text), f"{_ALLOWED} (other files come by -w or --mask)", code="spec.path")
    depth = 0
    for part in PurePosixPath(text).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            fail_at(place, describe(text), f"{_ALLOWED} (other files come by -w or --mask)", code="spec.path")
    return text


def resolve_inside(folder: Path | None, text: str, place: Place) -> Path:
    """Return the regular file that the path `text` of a spec in `folder` leads to, links resolved.

    Parameters
    ----------
    folder : Path or None
        The spec's; None where it was not read from a file: then it cannot name files.
    text : str
        As written in the spec.
    place : Place
        Where it is written, for messages.

    Raises
    ------
    SpecError
        It leads out of the folder, does not exist, or is no regular file. Nothing of the file is read.
    """
    check_path(text, place)
    if folder is None:
        fail_at(
            place,
            f"the path {describe(text)}",
            "none, for this spec lies in no folder; files come by -w or --mask",
            code="spec.path",
        )
    try:
        root = folder.resolve(strict=True)
        path = (root / text).resolve(strict=True)
        mode = path.lstat().st_mode
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links, in Python 3.11 and 3.12
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "a loop of links"
        fail_at(
            place,
            f"{describe(text)}, which cannot be opened ({reason})",
            "a file in the spec's folder",
            code="spec.path",
        )
    if not path.is_relative_to(root):
        fail_at(
            place,
            f"{describe(text)}, which leads out of the spec's folder",
            f"{_ALLOWED} (others come by -w)",
            code="spec.path",
        )
    if not stat.S_ISREG(mode):
        fail_at(place, f"{describe(text)}, which is no regular file", "a file in the spec's folder", code="spec.path")
    return path

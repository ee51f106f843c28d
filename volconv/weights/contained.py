"""Opens the other files that a weights file speaks of: below its own folder, never by a way out of it.

Links are refused, hard ones too: whoever made the file could otherwise have any other file of this machine read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from ..errors import WeightsError, show
from .weight_file import WeightFile

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_contained(owner: WeightFile, name: str) -> WeightFile:
    """Return the file `name`, which `owner` speaks of, as `open_below` does; it belongs to `owner` from then on."""
    part = open_below(owner, name)
    owner.add_part(part)
    return part


def open_below(owner: WeightFile, name: str) -> WeightFile:
    """Return the file `name` in the folder of `owner` or below, opened; the caller closes it.

    Parameters
    ----------
    owner : WeightFile
        The file that names it.
    name : str
        A path relative to the owner's folder, with slashes.

    Raises
    ------
    WeightsError
        If the path is absolute, goes up, passes a link, or does not end at a regular file with one name.
    """
    parts = _check_name(owner, name)
    descriptor = _open_below(owner, name, parts)
    try:
        names = os.fstat(descriptor).st_nlink
        if names != 1:
            _refuse(owner, name, f"names a file with {names} names (hard links)", "one that is in its folder alone")
    except BaseException:
        os.close(descriptor)
        raise
    return WeightFile(owner.path.parent / name, named_in_spec=True, descriptor=descriptor)


def is_absent(owner: WeightFile, name: str) -> bool:
    """Whether there is nothing at all by the name of `name`; one that leads out of the folder is refused."""
    _check_name(owner, name)
    try:
        (owner.path.parent / name).lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def _check_name(owner: WeightFile, name: str) -> list[str]:
    parts = name.split("/")
    if len(name) > 1024 or not name.isprintable() or "\\" in name or any(part in ("", ".", "..") for part in parts):
        _refuse(owner, name, "names a file out of its folder", "one beside it or below")
    return parts


def _open_below(owner: WeightFile, name: str, parts: list[str]) -> int:
    """Return a descriptor of the file, its folders opened one by one so that none can be changed for a link."""
    folder = -1
    try:
        folder = os.open(owner.path.parent, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        for part in parts[:-1]:
            inner = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _FLAGS, dir_fd=folder)
    except OSError as error:
        reason = "is missing, a link, or may not be read"
        message = f"names the file {show(name[:120])!r}, which {reason}; expected it beside {Path(owner.name).name}"
        raise WeightsError(message, code="weights.outside", file=owner.name) from error
    finally:
        if folder >= 0:
            os.close(folder)


def _refuse(owner: WeightFile, name: str, found: str, expected: str) -> NoReturn:
    raise WeightsError(f"{found}, {show(name[:120])!r}, expected {expected}", code="weights.outside", file=owner.name)

"""Whether a file can be written under a name: checked before any work, again when it is renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..errors import BudgetError, OutputError

NAME_MAX = 255
"""Bytes of a folder entry's name, on every file system in use on Linux and macOS."""

_RANDOM_LETTERS = 8
_HEX = frozenset("0123456789abcdef")


def make_part_name(name: str) -> str:
    """Return a fresh hidden name, ``.NAME.RANDOM.part``, for what is to become `name`."""
    return f"{_part_prefix(name)}{os.urandom(_RANDOM_LETTERS // 2).hex()}.part"


def is_part_name(found: str, name: str) -> bool:
    """Whether `make_part_name` could have made `found` for `name`."""
    prefix = _part_prefix(name)
    letters = found.removeprefix(prefix).removesuffix(".part")
    return found == f"{prefix}{letters}.part" and len(letters) == _RANDOM_LETTERS and set(letters) <= _HEX


def _part_prefix(name: str) -> str:
    """Return ``.NAME.``, cut so that a part's whole name fits into a folder entry."""
    room = NAME_MAX - len(f"..{'x' * _RANDOM_LETTERS}.part")
    return f".{os.fsdecode(os.fsencode(name)[:room])}."


def check_output(path: Path, inputs: Iterable[Path] = (), force: bool = False) -> Path:
    """Check that `path` can be written, and return the file it really names.

    Parameters
    ----------
    path : Path
        As the user named it. A symbolic link stands for its target, which need not exist.
    inputs : iterable of Path
        Files that must survive; ones that do not exist are passed over.
    force : bool
        Whether an existing output may be replaced. An input may not, whatever `force` says.

    Returns
    -------
    Path
        `path` with all links resolved.

    Raises
    ------
    OutputError
        If it exists (without `force`), is an input through any link, a folder, a pipe or a device, or if its folder
        is missing or cannot be written.
    BudgetError
        If its file system has no room for another file.
    """
    target = resolve_output(path)
    try:
        status: os.stat_result | None = target.stat()
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror}", file=str(path)) from error
    if status is not None:
        _check_existing(path, status, inputs, force)
    _probe(path, target)
    return target


def resolve_output(path: Path) -> Path:
    """Return `path` with links resolved once, as a shell's ``>`` would; a loop or a missing folder is an error."""
    try:
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise OutputError(f"the folder {target.parent} does not exist", code="output.folder", file=str(path))
        if target.is_symlink():
            raise OutputError("found a loop of symbolic links, expected a file name", file=str(path))
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"is no name for an output: {error}", file=str(path)) from error
    return target


def _check_existing(path: Path, status: os.stat_result, inputs: Iterable[Path], force: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OutputError("found a folder, expected a file name", code="output.not_a_file", file=str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(
            "found a pipe, device or socket, expected a file name", code="output.not_a_file", file=str(path)
        )
    for source in inputs:
        if _is_same_file(status, source):
            raise OutputError(
                f"is the same file as the input {source}; name another output", code="output.is_input", file=str(path)
            )
    if not force:
        raise OutputError(
            "exists; name another output, or replace it with --force", code="output.exists", file=str(path)
        )


def check_absent(target: Path, name: str) -> None:
    """Raise `OutputError` if `target` has come to exist; `name` is for messages."""
    if os.path.lexists(target):
        raise OutputError("exists now, written by someone else meanwhile", code="output.exists", file=name)


def _is_same_file(status: os.stat_result, source: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return os.path.samestat(status, source.stat())
    return False


def _probe(path: Path, target: Path) -> None:
    """Create and remove a part beside `target`: permissions, mounts and limits cannot be foreseen otherwise."""
    probe = target.parent / make_part_name(target.name)
    try:
        if len(os.fsencode(target.name)) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.close(fd)
        finally:
            probe.unlink(missing_ok=True)  # another process may have taken it for a left-over
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise BudgetError(f"no room in {target.parent}", code="disk.budget", file=str(path)) from error
        raise OutputError(f"cannot be written: {error.strerror}", file=str(path)) from error

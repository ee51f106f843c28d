"""The list of files that are about to be renamed, in the scratch folder: what the next run finishes after a kill.

A list may have been forged, so it is believed only as far as it could be a run's own: each file must be an output of
the command at hand, and what becomes it a part file of that name in the same folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FormatError, OutputError, RunError, io_code, show
from .atomic import remove_if_free, rename_new
from .disk import sync_folder, write_all
from .output_name import is_part_name, resolve_output

_NAME = "commit.json"
_FORMAT = 1
_MOST_BYTES = 1 << 24
_NO_FILE = -1


@dataclass(frozen=True)
class Entry:
    """A file to be renamed.

    Attributes
    ----------
    part : str
        Name of the part file, which lies in the folder of the file it becomes.
    path : Path
        The file, as it was named.
    inode : int
        Of the part: by it a file that has its name already is known.
    force : bool
        Whether a file of that name is replaced.
    old : str
        What `identify` says of the file that is replaced; empty where there is none. Another one is not.
    """

    part: str
    path: Path
    inode: int
    force: bool
    old: str = ""


def list_path(folder: Path) -> Path:
    """Return where the list of a run lies whose scratch folder is `folder`."""
    return folder / _NAME


def write_list(units: Sequence[Sequence[Entry]], folder: Path) -> None:
    """Bring the list to the disk; the parts' names before it.

    Raises
    ------
    RunError
        The disk fails or is full; there is no list then.
    """
    home = os.path.realpath(folder)
    entries = [
        [
            {
                "part": e.part,
                "file": os.path.relpath(place(e.path), home),
                "inode": e.inode,
                "force": e.force,
                "old": e.old,
            }
            for e in unit
        ]
        for unit in units
    ]
    data = json.dumps({"format": _FORMAT, "outputs": entries}).encode()
    try:
        for parent, name in {resolve_output(e.path).parent: str(e.path) for unit in units for e in unit}.items():
            sync_folder(parent, name)
        _write_whole(list_path(folder), data)
        sync_folder(folder, str(folder))
        sync_folder(folder.parent, str(folder))
    except OSError as error:
        remove_list(folder)
        message = f"the list of outputs cannot be written there: {error.strerror}"
        raise RunError(message, code=io_code(error), file=str(folder)) from error
    except RunError:
        remove_list(folder)
        raise


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_suffix(".part")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data, 0, str(path))
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)


def remove_list(folder: Path) -> None:
    """Remove the list; one that stays names nothing that is still to be renamed."""
    for path in (list_path(folder), list_path(folder).with_suffix(".part")):
        with contextlib.suppress(OSError):
            path.unlink()


def place(path: Path) -> Path:
    """Return `path` with the links of its folder resolved, but not those of its own name."""
    return Path(os.path.realpath(path.parent)) / path.name


def roll_forward(folder: Path, is_output: Callable[[Path], bool]) -> str:
    """Finish what a killed run had left to rename.

    Parameters
    ----------
    folder : Path
        Scratch folder of the outputs.
    is_output : callable
        Whether a file, its folder resolved by `place`, is one of the command's.

    Returns
    -------
    str
        What was done, as a sentence; empty where there was nothing to do.

    Raises
    ------
    FormatError
        The list is damaged, or of another version.
    OutputError
        It names a file that is no output of the command.
    RunError
        It cannot be read, or the disk fails.
    """
    text = _read(list_path(folder))
    if text is None:
        return ""
    steps = [[_step(entry, is_output, folder) for entry in unit] for unit in _parse(text, folder)]
    every = [step for unit in steps for step in unit]
    if not all(step.waits or step.is_done for step in every):
        for step in every:
            remove_if_free(step.part)
        remove_list(folder)
        return (
            "an interrupted run cannot be finished, as some of its files are gone or others have come in their place; "
            "what was left of it is removed"
        )
    try:
        for unit in steps:
            _carry_out(unit)
    except OSError as error:
        raise RunError(
            f"an interrupted run cannot be finished: {error.strerror}", code=io_code(error), file=str(folder)
        ) from error
    for parent in {step.target.parent: None for step in every}:
        sync_folder(parent, str(folder))
    remove_list(folder)
    return f"finished an interrupted run: {', '.join(str(step.entry.path) for step in every)} complete"


@dataclass(frozen=True)
class _Step:
    """An entry with the files it means."""

    entry: Entry
    part: Path
    target: Path

    @property
    def waits(self) -> bool:
        """Whether the part is there and may become the target."""
        found = _inode(self.part)
        if found in (None, _NO_FILE):
            return False
        if _inode(self.target) in (None, found):
            return True
        return self.entry.force and identify(self.target) == self.entry.old

    @property
    def is_done(self) -> bool:
        return _inode(self.target) == self.entry.inode and _inode(self.part) is None

    def carry_out(self) -> None:
        if self.entry.force:
            self.part.replace(self.target)
        elif _inode(self.target) is None:
            rename_new(self.part, self.target)
        else:
            self.part.unlink()


def _carry_out(unit: Sequence[_Step]) -> None:
    """Rename what waits, as `volconv.formats.commit.publish_unit` does."""
    *others, last = unit
    if others and last.waits and last.entry.force:
        last.target.unlink(missing_ok=True)
    for step in unit:
        if step.waits:
            step.carry_out()


def identify(path: Path) -> str:
    """Return what tells the file at `path` from any other that may come in its place; empty where there is none.

    Inodes alone would not do: file systems use them again.
    """
    try:
        status = path.lstat()
    except OSError:
        return ""
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _inode(path: Path) -> int | None:
    """Return the inode of a regular file; None where there is nothing, and `_NO_FILE` for anything else."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    except OSError:
        return _NO_FILE
    return status.st_ino if stat.S_ISREG(status.st_mode) else _NO_FILE


def _step(entry: Entry, is_output: Callable[[Path], bool], folder: Path) -> _Step:
    if not is_output(entry.path):
        raise OutputError(
            f"an interrupted run had left {show(str(entry.path))} to rename, which is no output of this command; "
            f"run that command again, or remove the folder",
            code="output.leftover",
            file=str(folder),
        )
    target = resolve_output(entry.path)
    if not is_part_name(entry.part, target.name):
        raise _damaged(folder, f"{show(entry.part)!r} is no part of {show(target.name)}")
    return _Step(entry, target.parent / entry.part, target)


def _read(path: Path) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"cannot be opened: {error.strerror}", code="run.io", file=str(path)) from error
    with os.fdopen(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _damaged(path.parent, f"{path.name} is no file")
        try:
            data = stream.read(_MOST_BYTES + 1)
        except OSError as error:
            raise RunError(f"cannot be read: {error.strerror}", code="run.io", file=str(path)) from error
    if len(data) > _MOST_BYTES:
        raise _damaged(path.parent, f"{path.name} is longer than {_MOST_BYTES} bytes")
    return data.decode("utf-8", "surrogateescape")


def _parse(text: str, folder: Path) -> Iterator[list[Entry]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, "it is no JSON") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise _damaged(folder, f"expected format {_FORMAT}")
    units = document.get("outputs")
    if not isinstance(units, list) or not all(isinstance(unit, list) and unit for unit in units):
        raise _damaged(folder, "expected lists of outputs")
    home = os.path.realpath(folder)
    for unit in units:
        yield [_entry(values, home, folder) for values in unit]


def _entry(values: Any, home: str, folder: Path) -> Entry:
    kinds = {"part": str, "file": str, "inode": int, "force": bool, "old": str}
    if not isinstance(values, dict) or {key: type(value) for key, value in values.items()} != kinds:
        raise _damaged(folder, f"expected {', '.join(kinds)} of each file")
    if "\0" in values["file"]:
        raise _damaged(folder, "found a NUL character in a name")
    path = Path(os.path.normpath(os.path.join(home, values["file"])))  # noqa: PTH118  (pathlib would keep '..')
    return Entry(values["part"], path, values["inode"], values["force"], values["old"])


def _damaged(folder: Path, why: str) -> FormatError:
    message = f"the list of an interrupted run's outputs cannot be read: {why}; remove the folder to start anew"
    return FormatError(message, code="output.list", file=str(folder))

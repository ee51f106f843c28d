"""The folder of a job that can be resumed: what the job is, and room for its tiles.

    OUTPUT.volconv/         mode 0700, everything in it 0600
        job.json            what was asked for, and the tile grid; written once, before the first tile
        journal             the finished tiles, see `volconv.run.journal`
        tiles-*             their results, see `volconv.run.records`

Who uses it holds the job's outputs, so nobody else does. Knows nothing of what the document says.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputError, RunError
from ..formats.disk import sync_folder, write_all
from .journal import read_journal

_DOCUMENT, _JOURNAL = "job.json", "journal"
_TILES = re.compile(r"tiles-\d+-\d+-\d+")
_MOST_BYTES = 64 << 20
"""Of a document: more is none of ours."""


class JobFolder:
    """A job folder.

    Parameters
    ----------
    path : Path
        Made, mode 0700, where it does not exist.
    within : bool
        Whether the folder it lies in is made, too.

    Attributes
    ----------
    busy : bool
        Whether a thread writes into it: then it cannot be removed.

    Raises
    ------
    OutputError
        If it cannot be made.
    """

    def __init__(self, path: Path, within: bool = False) -> None:
        self.path = path
        self.busy = False
        self._within, self._made_parent = within, False
        try:
            if self._within and not self.path.parent.is_dir():
                self.path.parent.mkdir(mode=0o700)
                self._made_parent = True
            self.path.mkdir(mode=0o700, exist_ok=True)
            self.path.chmod(0o700)
        except FileExistsError as error:
            raise OutputError("is no folder; give --scratch DIR", file=str(self.path)) from error
        except OSError as error:
            message = f"scratch folder cannot be made: {error.strerror}"
            raise OutputError(message, file=str(self.path)) from error

    def release(self, finished: bool) -> None:
        """Remove the folder once the job is `finished`, or where no tile is."""
        if not self.busy and (finished or not count_finished(self.path)):
            self.remove()

    @property
    def journal(self) -> Path:
        """The file of the journal."""
        return self.path / _JOURNAL

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Say what the job is; what an earlier job has left goes.

        Raises
        ------
        RunError
            If the disk fails or is full.
        """
        self._empty()
        part = self.path / f"{_DOCUMENT}.part"
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                write_all(fd, text.encode("ascii"), 0, str(part))
                os.fsync(fd)
            finally:
                os.close(fd)
            part.replace(self.path / _DOCUMENT)
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror}", file=str(part)) from error
        sync_folder(self.path, str(self.path))

    def remove(self) -> None:
        """Remove everything of the job, then the folder if nothing else lies in it."""
        with contextlib.suppress(OSError):
            self._empty()
            self.path.rmdir()
            if self._made_parent:
                self.path.parent.rmdir()

    def _empty(self) -> None:
        """Remove everything: first the document, without which the rest counts for nothing."""
        (self.path / _DOCUMENT).unlink(missing_ok=True)
        for path in list(self.path.iterdir()):
            if path.name in (_JOURNAL, f"{_DOCUMENT}.part") or _TILES.fullmatch(path.name):
                path.unlink(missing_ok=True)


def is_job_folder(path: Path) -> bool:
    """Whether a job has left anything at `path`."""
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError:
        return False
    return any(name in (_DOCUMENT, _JOURNAL) or _TILES.fullmatch(name) for name in names)


def remove_leftover(path: Path) -> None:
    """Remove the job folder at `path` that a run has left, if there is one."""
    if is_job_folder(path):
        JobFolder(path).remove()


def read_document(path: Path) -> dict[str, Any] | None:
    """Return what the job folder at `path` says of its job; None where it says nothing that can be read."""
    try:
        fd = os.open(path / _DOCUMENT, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as stream:
            content = stream.read(_MOST_BYTES)
        document = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def count_finished(path: Path) -> int:
    """Return how many tiles the journal of the job folder at `path` lists."""
    return len(read_journal(path / _JOURNAL)[0])

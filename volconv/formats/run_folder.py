"""The folder beside an output while a run writes it, ``OUTPUT.volconv/``: the run's lock, and what is on its way.

A run is alive if and only if it holds the lock: process numbers mean nothing across containers and machines.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from datetime import datetime
from pathlib import Path

from ..errors import OutputError, show

_LOCK = "lock"
_FORMAT = 1
_MOST_BYTES = 4096
_MOST_TRIES = 100
_SCRATCH_NAME = re.compile(r"[0-9a-f]{16}\.scratch")


def folder_of(output: Path) -> Path:
    """Return the folder of a run for its output `output`; in the first output's lies what is on its way."""
    return output.with_name(output.name + ".volconv")


class RunFolder:
    """The folder of a run, made and locked where that can be done.

    Where the folder cannot be made there is no lock, and nothing is said: whatever forbids it shows when the outputs'
    names are checked. Some file systems have no locks; there the last of two runs that write one output wins, whole.

    Parameters
    ----------
    output : Path
        As the user named it.

    Attributes
    ----------
    path : Path
    was_left : bool
        Whether a killed run left its lock there.

    Raises
    ------
    OutputError
        Another run is writing this output.
    """

    def __init__(self, output: Path) -> None:
        self.path = folder_of(output)
        self.was_left = False
        self._fd = -1
        for _ in range(_MOST_TRIES):  # another run may be removing what this one is making
            try:
                if self._take(output):
                    break
            except FileNotFoundError:
                continue
        if self.was_left:
            self._remove_scratch()

    def release(self) -> None:
        """Remove the lock, and the folder unless something is left in it; safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with contextlib.suppress(OSError):
            (self.path / _LOCK).unlink()
        _close(fd)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _take(self, output: Path) -> bool:
        """Make folder and lock; return whether there is no more to be done."""
        try:
            with contextlib.suppress(FileExistsError):
                self.path.mkdir(mode=0o700)
        except OSError:
            return True
        try:
            fd, fresh = _open_lock(self.path / _LOCK)
        except FileNotFoundError:
            raise
        except OSError:
            with contextlib.suppress(OSError):
                self.path.rmdir()
            return True
        if not _lock(fd, output):
            return self._keep(fd)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), (self.path / _LOCK).stat()):
                self.was_left = not fresh
                return self._keep(fd)
        _close(fd)
        return False

    def _keep(self, fd: int) -> bool:
        """Say in the lock who holds it."""
        self._fd = fd
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        who = {"format": _FORMAT, "process": os.getpid(), "host": os.uname().nodename, "since": now}
        with contextlib.suppress(OSError):  # on a full disk it holds all the same
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(who).encode(), 0)
        return True

    def _remove_scratch(self) -> None:
        """Remove what a killed run had made and not yet made nameless."""
        with contextlib.suppress(OSError):
            for path in list(self.path.iterdir()):
                if _SCRATCH_NAME.fullmatch(path.name):
                    path.unlink()


def _open_lock(path: Path) -> tuple[int, bool]:
    """Return the lock's descriptor, and whether it was not there before."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(path, flags), False


def _lock(fd: int, output: Path) -> bool:
    """Lock an open file; return False where locks are not to be had.

    Raises
    ------
    OutputError
        Another run holds it; the file is closed then.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _read_holder(fd)
        _close(fd)
        raise OutputError(
            f"is being written by {holder}; wait for it, or name another output", code="output.busy", file=str(output)
        ) from error
    except OSError:
        return False
    return True


def _read_holder(fd: int) -> str:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        who = json.loads(os.pread(fd, _MOST_BYTES, 0))
        if isinstance(who, dict) and who.get("format") == _FORMAT:
            process, host, since = (str(who.get(key)) for key in ("process", "host", "since"))
            return show(f"process {process} on {host} since {since}")
    return "another process"


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)

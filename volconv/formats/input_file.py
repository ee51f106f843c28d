"""A file that is read: opened once, a regular file and nothing else, and the same file until the end.

Read with `pread` alone: a memory map of a file that shrinks kills the process (SIGBUS).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

from ..errors import FormatError, MissingFileError, RunError

_DIGEST_BLOCK = 1 << 20


class InputFile:
    """An open file.

    Parameters
    ----------
    path : Path
        As the user named it.

    Attributes
    ----------
    name : str
        `path` for messages.
    fd : int
        Open for reading; -1 once closed.
    size : int
        Bytes when it was opened.

    Raises
    ------
    MissingFileError
        If there is no such file, or it is a folder, a pipe, a device or unreadable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.fd = -1
        try:
            # O_NONBLOCK: opening a pipe nobody writes to would wait for ever.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise MissingFileError(_why_not(error), file=self.name) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise MissingFileError(f"found {_kind(status.st_mode)}, expected a file", file=self.name)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        self.size = status.st_size
        self._identity = _identity(status)

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer only at the end of the file."""
        parts = []
        while count > 0:
            part = self._pread(offset, count)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return b"".join(parts)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` (bytes) from `offset`; a file that has become shorter raises `RunError`."""
        while len(out):
            try:
                count = os.preadv(self.fd, [out], offset)
            except OSError as error:
                raise RunError(f"cannot be read: {error.strerror}", code="run.io", file=self.name) from error
            if count == 0:
                raise RunError(
                    f"ends at byte {offset}, it became shorter while it was read",
                    code="run.input_changed",
                    file=self.name,
                )
            out = out[count:]
            offset += count

    def update_digest(self, digest: hashlib._Hash) -> None:
        """Feed the whole file to `digest`."""
        offset = 0
        while block := self._pread(offset, _DIGEST_BLOCK):
            digest.update(block)
            offset += len(block)

    def check_unchanged(self) -> None:
        """Raise `RunError` if size, time or inode differ from when the file was opened."""
        try:
            now = (_identity(os.fstat(self.fd)), _identity(self.path.stat()))
        except OSError as error:
            raise RunError(
                f"the input is gone since it was opened: {error.strerror}", code="run.input_changed", file=self.name
            ) from error
        if now != (self._identity, self._identity):
            raise RunError(
                "the input changed while it was read; run again when it is complete",
                code="run.input_changed",
                file=self.name,
            )

    def close(self) -> None:
        """Close the file; safe to call twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # what was read, was read
                os.close(fd)

    def _pread(self, offset: int, count: int) -> bytes:
        try:
            return os.pread(self.fd, count, offset)
        except OSError as error:
            raise RunError(f"cannot be read: {error.strerror}", code="run.io", file=self.name) from error
        except OverflowError as error:
            raise FormatError(f"points at byte {offset}, beyond any file", file=self.name) from error


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _why_not(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "is no file name"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "there is no such file"
    return f"cannot be opened: {error.strerror}"


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a device or socket"

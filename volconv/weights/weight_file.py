"""A weights file as bytes: opened once, only if regular, and read by position.

Knows nothing of formats.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import NoReturn

from ..errors import MissingFileError, RunError, WeightsError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_BLOCK = 1 << 20


class WeightFile:
    """An open regular file.

    Parameters
    ----------
    path : Path
        As the user named it.
    named_in_spec : bool
        Whether a spec names the file: then a missing one is a `WeightsError`, else a `MissingFileError`.
    descriptor : int, optional
        Of the file, where it has been opened already; it is closed with it.

    Attributes
    ----------
    name : str
        For messages.
    size : int
        In bytes, when opened.
    head : bytes
        The first 4096 bytes at most.
    """

    def __init__(self, path: Path, named_in_spec: bool = False, descriptor: int | None = None) -> None:
        self.path = path
        self.name = str(path)
        self._named_in_spec = named_in_spec
        self._digest: str | None = None
        self._fd = -1
        self._parts: list[WeightFile] = []
        try:
            # Without O_NONBLOCK, opening a named pipe nobody writes to waits for ever.
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if descriptor is None else descriptor
            self._fd = opened
            status = os.fstat(self._fd)
        except (OSError, ValueError) as error:
            self._refuse(_reason(error), error)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            self._refuse(_KINDS.get(stat.S_IFMT(status.st_mode), "no regular file"))
        self.size = status.st_size
        self.identity = (status.st_dev, status.st_ino)
        self._changed_at = status.st_mtime_ns
        try:
            self.head = self.read_at(0, min(self.size, 4096))
        except WeightsError:
            self.close()
            raise

    def _refuse(self, found: str, error: Exception | None = None) -> NoReturn:
        message = f"found {found}, expected a weights file"
        if self._named_in_spec:
            raise WeightsError(message, code="weights.missing_file", file=self.name) from error
        raise MissingFileError(message, file=self.name) from error

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` (bytes) from `offset`; a file that ends before is a `WeightsError`."""
        done = 0
        while done < len(out):
            try:
                got = os.preadv(self._fd, [out[done : done + _BLOCK * 64]], offset + done)
            except OSError as error:
                raise WeightsError(f"cannot be read: {_reason(error)}", code="weights.io", file=self.name) from error
            if got == 0:
                found = f"{max(0, offset + done)} bytes"
                raise WeightsError(
                    f"found {found}, expected at least {offset + len(out)}: cut short",
                    code="weights.truncated",
                    file=self.name,
                )
            done += got

    def read_at(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset`; checked against the file's size before they are allocated."""
        if offset < 0 or count < 0 or offset + count > self.size:
            message = f"found {self.size} bytes, expected at least {offset + count}: cut short or damaged"
            raise WeightsError(message, code="weights.truncated", file=self.name)
        out = bytearray(count)
        self.read_into(offset, memoryview(out))
        return bytes(out)

    def add_part(self, part: WeightFile) -> None:
        """Make `part`, another file that this one speaks of, belong to it: to its digest and its closing."""
        self._parts.append(part)

    @property
    def paths(self) -> tuple[Path, ...]:
        """This file and its parts."""
        return (self.path, *(path for part in self._parts for path in part.paths))

    def digest(self) -> str:
        """Return the SHA-256 of the whole file, and of the digests of its parts if any, as lower-case hex.

        Raises
        ------
        RunError
            If the file was written to since it was opened: tensors read before may be others than those digested.
        """
        if self._digest is None:
            sha = hashlib.sha256()
            block = memoryview(bytearray(_BLOCK))
            for start in range(0, self.size, _BLOCK):
                part = block[: min(_BLOCK, self.size - start)]
                self.read_into(start, part)
                sha.update(part)
            self._check_unchanged()
            for other in self._parts:
                sha.update(f"\n{other.digest()}".encode("ascii"))
            self._digest = sha.hexdigest()
        return self._digest

    def _check_unchanged(self) -> None:
        status = os.fstat(self._fd)
        if (status.st_size, status.st_mtime_ns) != (self.size, self._changed_at):
            message = "the weights changed while they were read; run again when the file is complete"
            raise RunError(message, code="run.input_changed", file=self.name)

    @property
    def is_open(self) -> bool:
        """Whether `close` has not been called."""
        return self._fd >= 0

    def close(self) -> None:
        """Close the file and its parts; harmless when closed."""
        for part in self._parts:
            part.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError):
        return "a name no file can have"
    names = {errno.ENOENT: "no such file", errno.EACCES: "a file that may not be read", errno.ENOTDIR: "no such file"}
    return names.get(error.errno or 0, (error.strerror or "an unreadable file").lower())

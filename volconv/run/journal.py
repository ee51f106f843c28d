"""The list of finished tiles of a job: one line a tile, only ever appended to. Knows nothing of what a tile holds.

    0 1 17 9f3a2b1c,-,00000000 5d6e7f80      volume, phase, tile, a checksum a part (- where none is stored); its own

A line that a crash has torn has no newline: it is ignored, and cut off before the next is written. Lines whose own
checksum does not fit are ignored too: after a power failure a page of the file may hold anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from ..errors import RunError

Key = tuple[int, int, int]
"""Volume of the batch, phase, tile."""
Checksums = tuple[int | None, ...]
"""One for each part of a tile's results; None for one that is not stored."""

_LINE = re.compile(rb"(\d{1,12}) (\d{1,12}) (\d{1,12}) ((?:[0-9a-f]{8}|-)(?:,(?:[0-9a-f]{8}|-))*) ([0-9a-f]{8})")


def format_line(key: Key, checksums: Checksums) -> bytes:
    """Return the line of one tile, its newline included."""
    parts = ",".join("-" if value is None else f"{value:08x}" for value in checksums)
    text = f"{key[0]} {key[1]} {key[2]} {parts} ".encode("ascii")
    return b"%s%08x\n" % (text, crc32(text))


def parse_line(line: bytes) -> tuple[Key, Checksums] | None:
    """Return what a line without its newline says; None where it is damaged."""
    found = _LINE.fullmatch(line)
    if found is None or crc32(line[:-8]) != int(found[5], 16):
        return None
    parts = tuple(None if part == b"-" else int(part, 16) for part in found[4].split(b","))
    return (int(found[1]), int(found[2]), int(found[3])), parts


def read_journal(path: Path) -> tuple[dict[Key, Checksums], int]:
    """Return every tile's last line, and the bytes of all whole lines; nothing where there is no file.

    Raises
    ------
    RunError
        If the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}, 0
    except OSError as error:
        raise RunError(f"cannot be read: {error.strerror}", file=str(path)) from error
    whole = content.rfind(b"\n") + 1
    parsed = (parse_line(line) for line in content[:whole].split(b"\n"))
    return dict(entry for entry in parsed if entry is not None), whole


class Journal:
    """The list, open for appending.

    Parameters
    ----------
    path : Path
        Made, mode 0600, where it does not exist.

    Attributes
    ----------
    entries : dict
        What it held when it was opened.

    Raises
    ------
    RunError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries, whole = read_journal(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = -1
        try:
            self._fd = os.open(path, flags, 0o600)
            os.ftruncate(self._fd, whole)
        except OSError as error:
            self.close()
            raise RunError(f"cannot be written: {error.strerror}", file=str(path)) from error

    def append(self, key: Key, checksums: Sequence[int | None]) -> None:
        """Add the line of a tile whose results lie in the job folder.

        Raises
        ------
        RunError
            If the disk fails or is full.
        """
        line = format_line(key, tuple(checksums))
        try:
            while line:  # a full disk may take a part of it
                line = line[os.write(self._fd, line) :]
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror}", file=str(self._path)) from error

    def sync(self) -> None:
        """Bring all lines to the disk."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror}", file=str(self._path)) from error

    def close(self) -> None:
        """Close the file; safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

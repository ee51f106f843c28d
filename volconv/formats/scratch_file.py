"""A nameless file for what is too large for memory: mode 0600, gone when it is closed or the process dies."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ..errors import BudgetError, RunError, io_code
from .atomic import read_all, reserve, write_all


class ScratchFile:
    """Bytes in the scratch folder.

    Parameters
    ----------
    folder : Path
        Made (mode 0700) where it does not exist, and then removed with the file.
    size : int
        Bytes to reserve.
    name : str
        Of the volume, for messages.

    Raises
    ------
    BudgetError
        If the folder's disk has less than `size` bytes left.
    RunError
        If the file cannot be made.
    """

    def __init__(self, folder: Path, size: int, name: str) -> None:
        self.fd = -1
        self.name = name
        self._made: Path | None = None
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
                self._made = folder
            self.fd = _open_nameless(folder)
        except OSError as error:
            self.close()
            if error.errno == errno.ENOSPC:
                raise BudgetError(f"no room in the scratch folder {folder}", code="disk.budget", file=name) from error
            raise RunError(
                f"cannot write into the scratch folder {folder}: {error.strerror}", code=io_code(error), file=name
            ) from error
        try:
            reserve(self.fd, size, name)
        except BaseException:
            self.close()
            raise

    def write(self, offset: int, data: memoryview | bytes) -> None:
        """Write `data` at `offset`."""
        write_all(self.fd, data, offset, self.name)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` (bytes) from `offset`."""
        read_all(self.fd, out, offset, self.name)

    def close(self) -> None:
        """Give the space back; safe to call twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # nobody wants these bytes any more
                os.close(fd)
        made, self._made = self._made, None
        if made is not None:
            with contextlib.suppress(OSError):
                made.rmdir()


def _open_nameless(folder: Path) -> int:
    """Return a new file without a name; where the file system cannot make one, its name is removed at once."""
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    path = folder / f"{os.urandom(8).hex()}.scratch"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    path.unlink()
    return fd

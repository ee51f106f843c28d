"""Bytes by position in an open file: reserved, written and read back whole, with errors a user can act on."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ..errors import BudgetError, RunError, io_code

_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


def reserve(fd: int, size: int, name: str) -> None:
    """Make the open file at least `size` bytes long and reserve them on disk; `name` is for messages.

    Where the file system cannot reserve, the file gets its length only.

    Raises
    ------
    BudgetError
        If the disk has no room.
    RunError
        If a limit on file sizes or a quota forbids it.
    """
    if size <= 0:
        return
    try:
        if not _allocate(fd, size) and os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
    except OSError as error:
        if error.errno == errno.ENOSPC or (error.errno == errno.EFBIG and _free(fd) < size):
            raise BudgetError(
                f"needs {size} bytes of disk, which has less left", code="disk.budget", file=name
            ) from error
        raise RunError(f"cannot reserve {size} bytes: {error.strerror}", code=io_code(error), file=name) from error


def _free(fd: int) -> int:
    """Return the bytes left on the disk of an open file: one larger than any file may be is too large for it too."""
    status = os.fstatvfs(fd)
    return status.f_bavail * status.f_frsize


def _allocate(fd: int, size: int) -> bool:
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno in _CANNOT_ALLOCATE:
            return False
        raise
    return True


def write_all(fd: int, data: memoryview | bytes, offset: int, name: str) -> None:
    """Write `data` at `offset`; `name` is for messages.

    Raises
    ------
    RunError
        If the disk fails or is full.
    """
    view = memoryview(data).cast("B")
    try:
        while len(view):
            count = os.pwrite(fd, view, offset)
            view = view[count:]
            offset += count
    except OSError as error:
        raise RunError(
            f"cannot write {len(view)} bytes at byte {offset}: {error.strerror}", code=io_code(error), file=name
        ) from error


def read_all(fd: int, out: memoryview, offset: int, name: str) -> None:
    """Fill `out` with what was written at `offset`; `name` is for messages.

    Raises
    ------
    RunError
        If the disk fails, or the file ends before.
    """
    try:
        while len(out):
            count = os.preadv(fd, [out], offset)
            if count == 0:
                raise RunError(f"ends at byte {offset}: it was cut short by someone else", code="run.io", file=name)
            out = out[count:]
            offset += count
    except OSError as error:
        raise RunError(f"cannot be read back: {error.strerror}", code="run.io", file=name) from error


def sync_folder(folder: Path, name: str) -> None:
    """Bring the names in `folder` to the disk; file systems that cannot are passed over."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise RunError(
                f"its folder cannot be brought to the disk: {error.strerror}", code="run.io", file=name
            ) from error
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)

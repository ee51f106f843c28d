"""Files that appear whole or not at all: a hidden part file beside the target, fsync, rename, fsync of the folder.

The recipe of TensorStore's and SQLite's file layers; knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import BudgetError, OutputError, RunError, io_code
from .disk import read_all, reserve, sync_folder, write_all
from .output_name import check_output, is_part_name, make_part_name, resolve_output

__all__ = [
    "PartFile",
    "check_output",
    "check_unwritten",
    "make_part",
    "read_all",
    "remove_if_free",
    "remove_stale_parts",
    "rename_new",
    "reserve",
    "resolve_output",
    "sync_folder",
    "write_all",
    "write_whole",
]

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


class PartFile:
    """A file under way to its final name.

    Made hidden beside the target (``.NAME.RANDOM.part``, mode 0600) and locked while its process lives; parts of the
    same target that nobody holds are left-overs of killed processes and are removed on the way.

    Parameters
    ----------
    path : Path
        Final name; links are resolved.
    force : bool
        Whether an existing file is replaced at `commit`.
    size : int, optional
        Bytes to reserve at once, so that a full disk shows before the work.

    Attributes
    ----------
    fd : int
        Open for reading and writing; -1 once committed or aborted.
    path : Path
        Of the part file.
    target : Path
        Final name.
    inode : int
        Of the file, under either name.
    published : bool
        Whether the target is this file now.

    Raises
    ------
    OutputError
        If the part file cannot be made.
    BudgetError
        If the disk has less than `size` bytes left.
    """

    def __init__(self, path: Path, force: bool = False, size: int = 0) -> None:
        self.fd = -1
        self.name = str(path)
        self.force = force
        self.published = False
        self.target = resolve_output(path)
        remove_stale_parts(self.target)
        self.path, self.fd = _create_part(self.target, self.name)
        self.inode = os.fstat(self.fd).st_ino
        try:
            reserve(self.fd, size, self.name)
        except BaseException:
            self.abort()
            raise

    def complete(self) -> None:
        """Give the part its final mode and time, and bring it to the disk; the first half of `commit`."""
        try:
            os.fchmod(self.fd, 0o666 & ~_umask())
            os.utime(self.fd)  # newer than all that was read, whenever the last byte was written
            os.fsync(self.fd)
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror}", code=io_code(error), file=self.name) from error

    def commit(self) -> None:
        """Complete the part and give it its final name.

        Raises
        ------
        OutputError
            If the name has been taken since (without `force`); the part is removed.
        RunError
            If the disk fails. Where only the renaming fails the part is kept, and named.
        """
        self.complete()
        self.publish()

    def publish(self) -> None:
        """Rename a completed part; the second half of `commit`."""
        try:
            if self.force:
                self.path.replace(self.target)
            else:
                rename_new(self.path, self.target)
        except FileExistsError as error:
            self.abort()
            raise OutputError(
                "exists now, written by someone else meanwhile", code="output.exists", file=self.name
            ) from error
        except OSError as error:
            self.keep()
            message = f"cannot be renamed to its final name: {error.strerror}; the result is kept in {self.path}"
            raise RunError(message, code=io_code(error), file=self.name) from error
        self.published = True
        self.keep()
        sync_folder(self.target.parent, self.name)

    def abort(self) -> None:
        """Remove the part; does nothing once committed, and is safe to call twice."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self.keep()

    def keep(self) -> None:
        """Let go of the part and leave it where it is; safe to call twice."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # what was to reach the disk has, or an error was raised
                os.close(fd)

    def take_back(self) -> None:
        """Remove the target if it is this file and replaced nothing: it is one of several that cannot all appear."""
        if self.published and not self.force:
            with contextlib.suppress(OSError):
                if self.target.lstat().st_ino == self.inode:
                    self.target.unlink()
            self.published = False

    def remove_old(self) -> None:
        """Remove the file that is to be replaced, ahead of `publish`."""
        try:
            self.target.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(
                f"the old file cannot be removed: {error.strerror}", code=io_code(error), file=self.name
            ) from error
        sync_folder(self.target.parent, self.name)


def make_part(path: Path, content: bytes, force: bool) -> PartFile:
    """Return the completed part of a small file, to be published or aborted."""
    part = PartFile(path, force)
    try:
        write_all(part.fd, content, 0, part.name)
        part.complete()
    except BaseException:
        part.abort()
        raise
    return part


def write_whole(path: Path, content: bytes, force: bool) -> None:
    """Write a small file whole or not at all."""
    part = make_part(path, content, force)
    try:
        part.publish()
    finally:
        part.abort()


def remove_stale_parts(target: Path) -> None:
    """Remove parts of `target` that no living process holds."""
    for part in _list_parts(target):
        remove_if_free(part)


def check_unwritten(path: Path) -> None:
    """Raise `OutputError` if a living process holds a part of what `path` names."""
    for part in _list_parts(resolve_output(path)):
        try:
            with _opened(part) as fd:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"is being written by another process, into {part.name}; wait for it, or name another output"
            raise OutputError(message, code="output.busy", file=str(path)) from error
        except OSError:  # it is gone, or locks are not to be had
            continue


def _list_parts(target: Path) -> list[Path]:
    try:
        return [path for path in target.parent.iterdir() if is_part_name(path.name, target.name)]
    except OSError:
        return []


def remove_if_free(part: Path) -> None:
    """Remove the file `part` unless a living process holds it; whatever stands in the way is passed over."""
    with contextlib.suppress(OSError), _opened(part) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()


@contextlib.contextmanager
def _opened(part: Path) -> Iterator[int]:
    fd = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _create_part(target: Path, name: str) -> tuple[Path, int]:
    while True:
        part = target.parent / make_part_name(target.name)
        try:
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise BudgetError(f"no room in {target.parent}", code="disk.budget", file=name) from error
            raise OutputError(f"cannot be written: {error.strerror}", file=name) from error
        # Between creation and lock another process may take the part for a left-over: it then holds the lock until
        # it has removed it. Not every network file system has locks.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), part.stat()):
                return part, fd
        os.close(fd)


def rename_new(part: Path, target: Path) -> None:
    """Rename `part` unless `target` exists: a hard link cannot replace anything, a rename can."""
    try:
        os.link(part, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        part.rename(target)
        return
    with contextlib.suppress(OSError):  # the file has its name; a second, hidden one goes with the next run
        part.unlink()


def _umask() -> int:
    """Return the umask; Linux tells it without changing it, which another thread could notice."""
    with contextlib.suppress(OSError), Path("/proc/self/status").open(encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

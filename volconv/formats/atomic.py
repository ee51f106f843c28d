"""Files that appear whole or not at all: a hidden part file beside the target, fsync, rename, fsync of the folder.

The recipe of TensorStore's and SQLite's file layers; knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from ..errors import BudgetError, OutputError, RunError

_NAME_MAX = 255
_RANDOM_LETTERS = 8
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


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
            raise OutputError(f"the folder {target.parent} does not exist", file=str(path))
        if target.is_symlink():
            raise OutputError("found a loop of symbolic links, expected a file name", file=str(path))
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"is no name for an output: {error}", file=str(path)) from error
    return target


def _check_existing(path: Path, status: os.stat_result, inputs: Iterable[Path], force: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OutputError("found a folder, expected a file name", file=str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OutputError("found a pipe, device or socket, expected a file name", file=str(path))
    for source in inputs:
        with contextlib.suppress(OSError, ValueError):
            if os.path.samestat(status, source.stat()):
                raise OutputError(f"is the same file as the input {source}; name another output", file=str(path))
    if not force:
        raise OutputError("exists; name another output, or replace it with --force", file=str(path))


def _probe(path: Path, target: Path) -> None:
    """Create and remove a file beside `target`: permissions, mounts and limits cannot be foreseen otherwise."""
    probe = target.parent / _part_name(target.name)
    try:
        if len(os.fsencode(target.name)) > _NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        probe.unlink()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise BudgetError(f"no room in {target.parent}", file=str(path)) from error
        raise OutputError(f"cannot be written: {error.strerror}", file=str(path)) from error


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
        self.target = resolve_output(path)
        remove_stale_parts(self.target)
        self.path, self.fd = _create_part(self.target, self.name)
        try:
            reserve(self.fd, size, self.name)
        except BaseException:
            self.abort()
            raise

    def complete(self) -> None:
        """Give the part its final mode and bring its bytes to the disk; the first half of `commit`."""
        try:
            os.fchmod(self.fd, 0o666 & ~_umask())
            os.fsync(self.fd)
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror}", file=self.name) from error

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
                _rename_new(self.path, self.target)
        except FileExistsError as error:
            self.abort()
            raise OutputError("exists now, written by someone else meanwhile", file=self.name) from error
        except OSError as error:
            self._close()
            message = f"cannot be renamed to its final name: {error.strerror}; the result is kept in {self.path}"
            raise RunError(message, file=self.name) from error
        self._close()
        sync_folder(self.target.parent, self.name)

    def abort(self) -> None:
        """Remove the part; does nothing once committed, and is safe to call twice."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self._close()

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def remove_stale_parts(target: Path) -> None:
    """Remove parts of `target` that no living process holds."""
    prefix = _part_prefix(target.name)
    try:
        found = [p for p in target.parent.iterdir() if p.name.startswith(prefix) and p.name.endswith(".part")]
    except OSError:
        return
    for part in found:
        if len(part.name) == len(prefix) + _RANDOM_LETTERS + len(".part"):
            with contextlib.suppress(OSError):
                _remove_if_free(part)


def _remove_if_free(part: Path) -> None:
    fd = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
    finally:
        os.close(fd)


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
        if error.errno == errno.ENOSPC:
            raise BudgetError(f"needs {size} bytes of disk, which has less left", file=name) from error
        raise RunError(f"cannot reserve {size} bytes: {error.strerror}", file=name) from error


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
        raise RunError(f"cannot write {len(view)} bytes at byte {offset}: {error.strerror}", file=name) from error


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
                raise RunError(f"ends at byte {offset}: it was cut short by someone else", file=name)
            out = out[count:]
            offset += count
    except OSError as error:
        raise RunError(f"cannot be read back: {error.strerror}", file=name) from error


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
            raise RunError(f"its folder cannot be brought to the disk: {error.strerror}", file=name) from error
    finally:
        os.close(fd)


def _create_part(target: Path, name: str) -> tuple[Path, int]:
    while True:
        part = target.parent / _part_name(target.name)
        try:
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise BudgetError(f"no room in {target.parent}", file=name) from error
            raise OutputError(f"cannot be written: {error.strerror}", file=name) from error
        # Between creation and lock another process may take the part for a left-over: it then holds the lock until
        # it has removed it. Not every network file system has locks.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), part.stat()):
                return part, fd
        os.close(fd)


def _rename_new(part: Path, target: Path) -> None:
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
    part.unlink()


def _part_prefix(name: str) -> str:
    """Return ``.NAME.``, cut so that a part's whole name fits into a folder entry."""
    room = _NAME_MAX - len(f"..{'x' * _RANDOM_LETTERS}.part")
    return f".{os.fsdecode(os.fsencode(name)[:room])}."


def _part_name(name: str) -> str:
    return f"{_part_prefix(name)}{secrets.token_hex(_RANDOM_LETTERS // 2)}.part"


def _umask() -> int:
    """Return the umask; Linux tells it without changing it, which another thread could notice."""
    with contextlib.suppress(OSError), Path("/proc/self/status").open(encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

"""Where a NIfTI output's voxels go until it is whole: a part file, scratch to be compressed, or a pair's two parts.

Knows neither axes nor values: only bytes by position.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

from .atomic import PartFile, check_output, read_all, write_all
from .commit import abort_all, publish_unit
from .gzip_stream import PACK_BLOCK, GzipPacker, pack_bytes
from .scratch_file import ScratchFile

Thing = TypeVar("Thing")


class Body(Protocol):
    """The bytes of one output, from the first voxel on.

    Attributes
    ----------
    paths : tuple of Path
        The files it becomes.
    scratch_bytes : int
        Disk taken beside them.
    buffer_bytes : int
        Memory held while it is written.
    parts : tuple of PartFile
        Its files in the order of their renaming, once created.
    """

    paths: tuple[Path, ...]
    scratch_bytes: int
    buffer_bytes: int
    parts: tuple[PartFile, ...]

    def create(self) -> None:
        """Make the files; afterwards `write` works."""

    def write(self, offset: int, data: memoryview, final: bool = True) -> None:
        """Write voxels' bytes at `offset` from the first voxel; where not `final`, parts of them will come again."""

    def settle(self, offset: int) -> None:
        """Hear that all bytes before `offset` are written and final."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` from `offset`, zeros where nothing was written yet."""

    def complete(self) -> None:
        """Bring everything to the disk, under hidden names still."""

    def publish(self) -> None:
        """Give the files their final names."""

    def abort(self) -> None:
        """Remove everything; safe to call at any time."""


class PlainBody:
    """A ``.nii``: header and voxels in one part file."""

    scratch_bytes = 0
    buffer_bytes = 0

    def __init__(self, path: Path, force: bool, header: bytes, voxel_bytes: int) -> None:
        self.paths: tuple[Path, ...] = (path,)
        self._force = force
        self._header = header
        self._size = len(header) + voxel_bytes
        self.parts: tuple[PartFile, ...] = ()

    def create(self) -> None:
        """Reserve the whole file and write the header."""
        check_output(self.paths[0], force=self._force)
        self.parts = (PartFile(self.paths[0], self._force, self._size),)
        write_all(self.parts[0].fd, self._header, 0, self.parts[0].name)

    def write(self, offset: int, data: memoryview, final: bool = True) -> None:  # noqa: ARG002
        """Write at `offset` behind the header."""
        part = _first(self.parts)
        write_all(part.fd, data, len(self._header) + offset, part.name)

    def settle(self, offset: int) -> None:
        """Do nothing."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """Read from `offset` behind the header."""
        part = _first(self.parts)
        read_all(part.fd, out, len(self._header) + offset, part.name)

    def complete(self) -> None:
        """Fsync."""
        _first(self.parts).complete()

    def publish(self) -> None:
        """Rename."""
        publish_unit(self.parts)

    def abort(self) -> None:
        """Remove the part."""
        abort_all(self.parts)


class GzipBody:
    """A ``.nii.gz``: compressed as it is written where windows come in the file's order.

    What comes out of order waits uncompressed in scratch until all before it is there.

    Parameters
    ----------
    eager : bool
        Whether to compress before `complete`; then buffers are held from `create` on.
    """

    def __init__(
        self,
        path: Path,
        force: bool,
        header: bytes,
        voxel_bytes: int,
        *,
        scratch: Path,
        threads: int = 1,
        eager: bool = True,
    ) -> None:
        self.paths: tuple[Path, ...] = (path,)
        self.scratch_bytes = voxel_bytes
        self.buffer_bytes = pack_bytes(threads)
        self._force = force
        self._header = header
        self._folder = scratch
        self._threads = threads
        self._eager = eager
        self.parts: tuple[PartFile, ...] = ()
        self._scratch: ScratchFile | None = None
        self._packer: GzipPacker | None = None
        self._packed = 0
        self._taken = 0

    def create(self) -> None:
        """Reserve the scratch file; the part is made too, so that what forbids it shows before the work."""
        check_output(self.paths[0], force=self._force)
        self.parts = (PartFile(self.paths[0], self._force),)
        self._scratch = ScratchFile(self._folder, self.scratch_bytes, str(self.paths[0]))

    def write(self, offset: int, data: memoryview, final: bool = True) -> None:
        """Compress what continues the stream; keep the rest in the scratch file."""
        if self._eager and final and offset == self._taken:
            self._take(data)
        else:
            _made(self._scratch).write(offset, data)

    def settle(self, offset: int) -> None:
        """Compress what lies in the scratch file up to `offset`."""
        if self._eager:
            self._catch_up(offset)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Read from `offset` of the scratch file."""
        _made(self._scratch).read_into(offset, out)

    def complete(self) -> None:
        """Compress what is left into the part, fsync, and give the scratch space back."""
        self._catch_up(self.scratch_bytes)
        self._stream().finish()
        _made(self._scratch).close()
        _first(self.parts).complete()

    def publish(self) -> None:
        """Rename."""
        publish_unit(self.parts)

    def abort(self) -> None:
        """Remove part and scratch file."""
        if self._packer is not None:
            self._packer.close()
        if self._scratch is not None:
            self._scratch.close()
        abort_all(self.parts)

    def _catch_up(self, offset: int) -> None:
        block = memoryview(bytearray(min(PACK_BLOCK, max(0, offset - self._taken))))
        while self._taken < offset:
            part = block[: offset - self._taken]
            _made(self._scratch).read_into(self._taken, part)
            self._take(part)

    def _take(self, data: memoryview) -> None:
        self._stream().feed(data)
        self._taken += len(data)

    def _stream(self) -> GzipPacker:
        if self._packer is None:
            self._packer = GzipPacker(self._append, self._threads)
            self._packer.feed(memoryview(self._header))
        return self._packer

    def _append(self, data: bytes) -> None:
        part = _first(self.parts)
        write_all(part.fd, data, self._packed, part.name)
        self._packed += len(data)


class PairBody:
    """A ``.hdr`` and an ``.img``: absent or complete, and a header is what makes a pair.

    So the header comes last; one that is replaced goes first.
    """

    scratch_bytes = 0
    buffer_bytes = 0

    def __init__(self, header_path: Path, voxel_path: Path, force: bool, header: bytes, voxel_bytes: int) -> None:
        self.paths: tuple[Path, ...] = (header_path, voxel_path)
        self._force = force
        self._header = header
        self._size = voxel_bytes
        self.parts: tuple[PartFile, ...] = ()

    def create(self) -> None:
        """Reserve both files and write the header."""
        for path in self.paths:
            check_output(path, force=self._force)
        header = PartFile(self.paths[0], self._force, len(self._header))
        self.parts = (header,)
        self.parts = (PartFile(self.paths[1], self._force, self._size), header)
        write_all(header.fd, self._header, 0, header.name)

    def write(self, offset: int, data: memoryview, final: bool = True) -> None:  # noqa: ARG002
        """Write `data` at `offset` of the ``.img``."""
        voxels = _first(self.parts)
        write_all(voxels.fd, data, offset, voxels.name)

    def settle(self, offset: int) -> None:
        """Do nothing."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """Read from `offset` of the ``.img``."""
        voxels = _first(self.parts)
        read_all(voxels.fd, out, offset, voxels.name)

    def complete(self) -> None:
        """Fsync both."""
        for part in self.parts:
            part.complete()

    def publish(self) -> None:
        """Remove an old header, rename the ``.img``, then the ``.hdr``."""
        publish_unit(self.parts)

    def abort(self) -> None:
        """Remove both parts."""
        abort_all(self.parts)


def _first(parts: tuple[PartFile, ...]) -> PartFile:
    return _made(parts[0] if parts else None)


def _made(thing: Thing | None) -> Thing:
    if thing is None:
        raise RuntimeError("create was not called first")
    return thing

"""An HDF5 file as a stream for libhdf5 to read by, which hides from it what it would never come to the end of.

Texts of any length and the sources of virtual datasets lie in global heap collections (HDF5 File Format Specification,
III.E). libhdf5 (2.0 still) walks a collection from object to object by their sizes, and stays where it is for ever if
free space says that it takes no bytes, or an object more than 64 bits can count; no signal is answered meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUPERBLOCK = 16  # its first bytes, which say how long addresses and lengths are

_MARK = b"GCOL\x01\0\0\0"  # signature, version, reserved
_SMALLEST = 4096
_LARGEST = 64 << 20
_SEARCHED = 1 << 20
"""Bytes up to which libhdf5 reads on from what it holds of a neighbour: longer pieces of metadata it reads whole."""

Fill = Callable[[int, memoryview], None]


class Hdf5Stream:
    """What h5py takes for an open file; it can only be read.

    Parameters
    ----------
    fill : callable
        Fills a memoryview of bytes from an offset of the file; called with (offset, memoryview), inside `size` alone.
    size : int
        Bytes of the file.
    """

    def __init__(self, fill: Fill, size: int) -> None:
        self._fill = fill
        self._size = size
        self._place = 0
        self._length_bytes = 8
        if (start := find_superblock(fill, size)) is not None:
            block = self._read(start, _SUPERBLOCK).ljust(_SUPERBLOCK, b"\0")
            self._length_bytes = block[14] if block[8] < 2 else block[10]  # by the superblock's version
        self._sound: dict[int, bool] = {}

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place and return it."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        """Return the place in the file."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from the place on, with zeros behind the file's end, as libhdf5 itself does."""
        start, count = self._place, len(buffer)
        there = max(0, min(count, self._size - start))
        self._place += count
        buffer[there:] = bytes(count - there)
        if count > _SEARCHED:
            self._fill(start, buffer[:there])
            if buffer[: len(_MARK)] == _MARK and not self._is_sound(start):
                buffer[: len(_MARK)] = bytes(len(_MARK))
            return count
        # a mark may have begun in what was read before, or end in what is read next
        first = max(0, start - len(_MARK) + 1)
        found = self._read(first, start + there + len(_MARK) - 1 - first)
        buffer[:there] = found[start - first : start - first + there]
        at = found.find(_MARK)
        while at >= 0:
            if not self._is_sound(first + at):  # no collection then, which libhdf5 says and goes on
                low, high = max(0, first + at - start), min(there, first + at + len(_MARK) - start)
                buffer[low:high] = bytes(max(0, high - low))
            at = found.find(_MARK, at + 1)
        return count

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        out = bytearray(size)
        self.readinto(memoryview(out))
        return bytes(out)

    def _is_sound(self, address: int) -> bool:
        if address not in self._sound:
            self._sound[address] = self._walk(address)
        return self._sound[address]

    def _walk(self, address: int) -> bool:
        """Return whether the objects of the collection at `address` follow each other to its end."""
        length = self._length_bytes
        head = _align(len(_MARK) + length)
        size = int.from_bytes(self._read(address + len(_MARK), length), "little")
        if not _SMALLEST <= size <= min(_LARGEST, self._size - address):
            return False
        content = self._read(address, size)
        at = head
        while at + head <= size:  # an object's head has the same length; a rest too short for one is free
            taken = int.from_bytes(content[at + len(_MARK) : at + len(_MARK) + length], "little")
            if content[at : at + 2] != b"\0\0":  # number 0 is free space, which counts its head
                taken = head + _align(taken)
            if not 0 < taken <= size - at:
                return False
            at += taken
        return True

    def _read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`, fewer only at the file's end."""
        return _read(self._fill, offset, max(0, min(count, self._size - offset)))


def _align(count: int) -> int:
    return -(-count // 8) * 8


def _read(fill: Fill, offset: int, count: int) -> bytes:
    out = bytearray(count)
    fill(offset, memoryview(out))
    return bytes(out)


def find_superblock(fill: Fill, size: int) -> int | None:
    """Return where the superblock begins: at 0, or behind a user block of 512, 1024, ... bytes; None in other files."""
    at = 0
    while at + len(SIGNATURE) <= size:
        if _read(fill, at, len(SIGNATURE)) == SIGNATURE:
            return at
        at = 2 * at or 512
    return None

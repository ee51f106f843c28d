"""gzip, read to its last checksum and written with the same bytes for any number of threads.

Reading is bounded: nothing is allocated because a header says so, and nothing is unpacked beyond what the caller
asks for. zlib itself verifies each member's CRC-32 and length (RFC 1952).
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import FormatError
from .input_file import InputFile

MAGIC = b"\x1f\x8b"
MAX_RATIO = 1032
"""Deflate cannot unpack a byte into more (zlib's technical notes)."""

_READ_BLOCK = 1 << 16
PACK_BLOCK = 1 << 18
"""Bytes to compress at a time: large enough for the ratio, small enough for many threads."""

_LEVEL = 1
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # no name, no time, fastest, unknown system


class GzipReader:
    """Unpacks a file of one or more gzip members from its beginning.

    Parameters
    ----------
    file : InputFile
        Stays open; it is the caller's.

    Attributes
    ----------
    produced : int
        Bytes unpacked so far.
    stray : int
        Bytes behind the last member that are not gzip (zeros not counted: tapes pad with them).
    expected : int
        Bytes the caller wants to unpack in all, for messages; 0 where it does not know.
    """

    def __init__(self, file: InputFile) -> None:
        self.produced = 0
        self.stray = 0
        self.expected = 0
        self._file = file
        self._offset = 0
        self._packed = b""
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._ended = False

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes; none only at the end of the stream.

        Raises
        ------
        FormatError
            If the stream is damaged, or ends early.
        """
        while not self._ended and count > 0:
            if not self._packed:
                self._refill()
            try:
                out = self._member.decompress(self._packed, count)
            except zlib.error as error:
                raise FormatError(self._say(f"the gzip stream is damaged ({error})"), file=self._file.name) from error
            self._packed = self._member.unconsumed_tail
            if self._member.eof:
                self._packed = self._member.unused_data
                self._start_member()
            if out:
                self.produced += len(out)
                return out
        return b""

    def drain(self, limit: int) -> int:
        """Unpack what is left, at most `limit` bytes and one block; return how many bytes there were."""
        before = self.produced
        while self.produced - before <= limit and self.read(_READ_BLOCK):
            pass
        return self.produced - before

    def _refill(self) -> None:
        self._packed = self._file.read(self._offset, _READ_BLOCK)
        self._offset += len(self._packed)
        if not self._packed:
            raise FormatError(self._say("the gzip stream ends early"), file=self._file.name)

    def _start_member(self) -> None:
        """Look behind a member that has ended: another one, padding, or bytes that are not gzip."""
        while True:
            self._packed = self._packed.lstrip(b"\0")
            if len(self._packed) >= len(MAGIC):
                break
            more = self._file.read(self._offset, _READ_BLOCK)
            self._offset += len(more)
            self._packed += more
            if not more:
                break
        if self._packed.startswith(MAGIC):
            self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            return
        self._ended = True
        if self._packed:
            self.stray = len(self._packed) + self._file.size - self._offset

    def _say(self, what: str) -> str:
        wanted = f", expected {self.expected}" if self.expected else ""
        return f"{what}: found {self.produced} bytes when unpacked{wanted}; fetch the file again"


def pack_bytes(threads: int) -> int:
    """Return the memory `pack_gzip` takes with blocks of `PACK_BLOCK`: each, its packed form and zlib's own."""
    return (2 * threads + 2) * 3 * PACK_BLOCK


def pack_gzip(blocks: Iterator[bytes], write: Callable[[bytes], object], threads: int = 1) -> None:
    """Compress `blocks` into one gzip member.

    Every block is compressed by itself and ends on a byte, as pigz does, so that the result depends on the blocks
    alone: cut the data the same way and the bytes are the same for any number of threads.

    Parameters
    ----------
    blocks : iterator of bytes
        The data, commonly `PACK_BLOCK` at a time; at most ``2 * threads + 2`` blocks are held.
    write : callable
        Takes the bytes of the stream, in order.
    threads : int
        How many blocks are compressed at a time.
    """
    crc, size = 0, 0
    write(_GZIP_HEADER)
    with ThreadPoolExecutor(threads, thread_name_prefix="volconv-gzip") as pool:
        under_way: deque[Future[bytes]] = deque()
        try:
            for block in blocks:
                under_way.append(pool.submit(_deflate, block))
                crc, size = zlib.crc32(block, crc), size + len(block)
                if len(under_way) > 2 * threads:
                    write(under_way.popleft().result())
            while under_way:
                write(under_way.popleft().result())
        finally:
            for future in under_way:
                future.cancel()
    write(b"\x03\x00" + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def _deflate(block: bytes) -> bytes:
    """Return `block` as deflate blocks that reach a byte's end and open no new window (RFC 1951)."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)

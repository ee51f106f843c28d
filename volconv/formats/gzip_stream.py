"""gzip, read to its last checksum and written with the same bytes for any number of threads.

Reading is bounded: nothing is allocated because a header says so, and nothing is unpacked beyond what the caller
asks for. The library itself verifies each member's CRC-32 and length (RFC 1952).

zlib-ng packs the same bytes on every processor. Checked with version 2.3.3 on x86-64 natively with AVX-512, and
emulated with SSE2 alone, SSE4.2 and AVX2, and on emulated 64-bit ARM: one digest. ISA-L, faster still, hashes matches
with the processor's CRC instruction where there is one, and gave three.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from zlib_ng import zlib_ng

from ..errors import FormatError
from .input_file import InputFile

MAGIC = b"\x1f\x8b"
MAX_RATIO = 1032
"""Deflate cannot unpack a byte into more (zlib's technical notes)."""

_READ_BLOCK = 1 << 16
PACK_BLOCK = 1 << 18
"""Bytes to compress at a time: large enough for the ratio, small enough for many threads."""

_LEVEL = 2
_MEMORY = 9  # bits of the symbol buffer: the largest, for fewer trees
_WORTH_SEARCHING = 1 / 64  # of the values looked at
_STRIPES = 16  # places of a block that are looked at, a quarter of it in all
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
        self._member = zlib_ng.decompressobj(zlib_ng.MAX_WBITS | 16)
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
            except zlib_ng.error as error:  # type: ignore[misc]  # its stubs take the class for an instance
                raise FormatError(
                    self._say(f"the gzip stream is damaged ({error})"), code="gzip.damaged", file=self._file.name
                ) from error
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
            raise FormatError(self._say("the gzip stream ends early"), code="gzip.truncated", file=self._file.name)

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
            self._member = zlib_ng.decompressobj(zlib_ng.MAX_WBITS | 16)
            return
        self._ended = True
        if self._packed:
            self.stray = len(self._packed) + self._file.size - self._offset

    def _say(self, what: str) -> str:
        wanted = f", expected {self.expected}" if self.expected else ""
        return f"{what}: found {self.produced} bytes when unpacked{wanted}; fetch the file again"


def pack_bytes(threads: int) -> int:
    """Return the memory a `GzipPacker` takes: each block, its packed form and the library's own."""
    return (2 * threads + 2) * 3 * PACK_BLOCK


class GzipPacker:
    """Compresses a stream into one gzip member while it arrives.

    The stream is cut every 256 KiB. Every block is compressed by itself and ends on a byte, as pigz does, so that the
    result depends on the data alone, not on how it comes in nor on the number of threads.

    Parameters
    ----------
    write : callable
        Takes the bytes of the member, in order; called by `feed` and `finish`, in their thread.
    threads : int
        How many blocks are compressed at a time.
    """

    def __init__(self, write: Callable[[bytes], object], threads: int = 1) -> None:
        self._write = write
        self._most = 2 * threads
        self._crc = 0
        self._size = 0
        self._filled = 0
        self._block = bytearray(PACK_BLOCK)
        self._spare: list[bytearray] = []
        self._under_way: deque[tuple[Future[bytes], bytearray]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="volconv-gzip")
        write(_GZIP_HEADER)

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the stream, which are the caller's again afterwards."""
        self._crc, self._size = zlib_ng.crc32(data, self._crc), self._size + len(data)
        while len(data):
            count = min(len(data), PACK_BLOCK - self._filled)
            self._block[self._filled : self._filled + count] = data[:count]
            self._filled += count
            data = data[count:]
            if self._filled == PACK_BLOCK:
                self._submit()

    def finish(self) -> None:
        """Write what is left, and the member's end."""
        if self._filled:
            self._submit()
        while self._under_way:
            self._write_next()
        self.close()
        size = self._size & 0xFFFFFFFF
        self._write(b"\x03\x00" + self._crc.to_bytes(4, "little") + size.to_bytes(4, "little"))

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._pool.shutdown(cancel_futures=True)

    def _submit(self) -> None:
        if len(self._under_way) > self._most:
            self._write_next()
        block = self._block
        future = self._pool.submit(_deflate, memoryview(block)[: self._filled])
        self._under_way.append((future, block))
        self._block = self._spare.pop() if self._spare else bytearray(PACK_BLOCK)
        self._filled = 0

    def _write_next(self) -> None:
        future, block = self._under_way.popleft()
        self._write(future.result())
        self._spare.append(block)


def _deflate(block: memoryview) -> bytes:
    """Return `block` as deflate blocks that reach a byte's end and open no new window (RFC 1951)."""
    strategy = zlib_ng.Z_DEFAULT_STRATEGY if _repeats_values(block) else zlib_ng.Z_RLE
    packer = zlib_ng.compressobj(_LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS, _MEMORY, strategy)
    return packer.compress(block) + packer.flush(zlib_ng.Z_FULL_FLUSH)


def _repeats_values(block: memoryview) -> bool:
    """Return whether values of several bytes repeat: a background that is not zero, enlarged voxels.

    Matches of voxels are mostly runs of one byte. To look for those alone packs scans, labels and features as well as
    a full search and twice as fast; but it misses these.
    """
    size = min(len(block), PACK_BLOCK // _STRIPES) // 16
    if size < 3:
        return True
    stripes = np.frombuffer(block, np.uint32, len(block) // (16 * size) * (4 * size)).reshape(-1, 4 * size)
    here, before, earlier = stripes[:, 2:size], stripes[:, 1 : size - 1], stripes[:, : size - 2]
    again = here == before
    again |= here == earlier
    again &= here != (here & np.uint32(0xFF)) * np.uint32(0x01010101)
    return bool(np.count_nonzero(again) > _WORTH_SEARCHING * again.size)

"""Bytes that lie in a weights file: plain, in a zip member, behind a text encoding, or held in memory.

Whoever reads a tensor from them need not know which. Knows nothing of formats or tensors.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np

from ..errors import WeightsError
from .weight_file import WeightFile
from .zip_archive import Member, read_member

_BLOCK = 1 << 18


class ByteSource(Protocol):
    """A run of bytes of known length."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill `out` from position `at`; ``at + len(out) <= size`` is the caller's duty."""


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A part of a file, as it lies there."""

    file: WeightFile
    start: int
    size: int

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill `out` from position `at`."""
        self.file.read_into(self.start + at, out)


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """Bytes in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.content)

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill `out` from position `at`."""
        out[:] = self.content[at : at + len(out)]


@dataclass(frozen=True, slots=True)
class PartOf:
    """A part of another source."""

    whole: ByteSource
    start: int
    size: int

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill `out` from position `at`."""
        self.whole.read_into(self.start + at, out)


class JoinedBytes:
    """Several sources, one behind the other."""

    def __init__(self, parts: Iterable[ByteSource]) -> None:
        self._parts = tuple(parts)
        self._ends = tuple(accumulate(part.size for part in self._parts))
        self.size = self._ends[-1] if self._ends else 0

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill `out` from position `at`."""
        number = bisect_right(self._ends, at)
        while len(out):
            part = self._parts[number]
            inner = at - (self._ends[number] - part.size)
            count = min(len(out), part.size - inner)
            part.read_into(inner, out[:count])
            at, out, number = at + count, out[count:], number + 1


class MemberBytes:
    """A zip member. The first reading goes through all of it, so that its checksum is verified."""

    def __init__(self, file: WeightFile, member: Member) -> None:
        self._file = file
        self._member = member
        self._verified = False
        self.size = member.size

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill `out` from position `at`."""
        if self._verified and not self._member.deflated:
            self._file.read_into(self._member.start + at, out)
            return
        if self.size > 8 * self._file.size and not self._verified:
            # Unpacked once without being kept: a lying size must not fill memory a thousand times the file.
            for _ in read_member(self._file, self._member):
                pass
        copy_range(read_member(self._file, self._member), at, out)
        self._verified = True


class Utf8Bytes:
    """Bytes written as text, each as the character of its number, in UTF-8: what pickles of protocol 2 do.

    How many bytes the text stands for is only known from reading it, which is done once, in blocks.
    """

    def __init__(self, text: ByteSource, file: WeightFile) -> None:
        self._text = text
        self._file = file
        # Every character begins with a byte that is none of 0x80 to 0xBF.
        self.size = sum(int(np.count_nonzero((np.frombuffer(b, "u1") & 0xC0) != 0x80)) for b in _blocks(text))

    def read_into(self, at: int, out: memoryview) -> None:
        """Fill `out` from position `at`."""
        copy_range(self._decode(), at, out)

    def _decode(self) -> Iterator[bytes]:
        rest = b""
        for block in _blocks(self._text):
            block = rest + block
            # Characters up to 255 take at most two bytes, of which the first is 0xC2 or 0xC3.
            rest = block[-1:] if block[-1] >= 0xC0 else b""
            try:
                yield block[: len(block) - len(rest)].decode("utf-8").encode("latin-1")
            except UnicodeError as error:
                message = "pickle: found text that stands for no bytes: damaged"
                raise WeightsError(message, code="weights.pickle", file=self._file.name) from error
        if rest:
            raise WeightsError(
                "pickle: found text cut in a character: damaged", code="weights.pickle", file=self._file.name
            )


def _blocks(source: ByteSource) -> Iterator[bytes]:
    for at in range(0, source.size, _BLOCK):
        block = bytearray(min(_BLOCK, source.size - at))
        source.read_into(at, memoryview(block))
        yield bytes(block)


def copy_range(blocks: Iterable[bytes], at: int, out: memoryview) -> None:
    """Fill `out` with what lies from `at` in the joined `blocks`, all of which are taken."""
    begin = 0
    for block in blocks:
        low, high = max(at, begin), min(at + len(out), begin + len(block))
        if low < high:
            out[low - at : high - at] = block[low - begin : high - begin]
        begin += len(block)

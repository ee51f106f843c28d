"""A pickle as bytes to go through once, and how much memory what it describes may take.

Long runs of bytes are never read here: they are passed over and stay a `Chunk`, which says where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ..errors import WeightsError
from .byte_sources import ByteSource, PartOf, Utf8Bytes
from .meter import Meter
from .weight_file import WeightFile

MAX_TEXT = 1 << 16
"""Bytes of a string that becomes one; longer ones stay where they are."""

_WINDOW = 1 << 14


@dataclass(frozen=True, eq=False, slots=True)
class Chunk:
    """Bytes of the pickle by place; `is_text` where they are UTF-8 text."""

    start: int
    size: int
    is_text: bool = False


class PickleInput:
    """The bytes of one file or zip member, from `at` on; every length is held against what is left.

    Attributes
    ----------
    data : ByteSource
        All of them.
    at : int
        How far the reading has come.
    """

    def __init__(self, data: ByteSource, file: WeightFile, at: int = 0) -> None:
        self.data = data
        self.file = file
        self.meter = Meter(file, "pickle")
        self.at = at
        self._window = b""
        self._window_start = at
        self._texts: dict[int, Utf8Bytes] = {}

    def fail(self, found: str, expected: str) -> NoReturn:
        """Raise for what is wrong with the pickle."""
        raise WeightsError(f"pickle: found {found}, expected {expected}", code="weights.pickle", file=self.file.name)

    def byte(self) -> int:
        """Return the next byte."""
        at = self.at - self._window_start
        if not 0 <= at < len(self._window):
            self._fill()
            at = 0
        self.at += 1
        return self._window[at]

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes, at most `MAX_TEXT`."""
        self._check(count)
        at = self.at - self._window_start
        is_near = 0 <= at <= len(self._window) - count
        out = self._window[at : at + count] if is_near else self.peek(count)
        self.at += count
        return out

    def peek(self, count: int) -> bytes:
        """Return the next bytes, `count` or as many as there are, without moving."""
        out = bytearray(max(0, min(count, self.data.size - self.at)))
        self.data.read_into(self.at, memoryview(out))
        return bytes(out)

    def number(self, count: int, signed: bool = False) -> int:
        """Return the next `count` bytes as a little-endian number."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def skip(self, count: int, is_text: bool = False) -> Chunk:
        """Pass over `count` bytes."""
        self._check(count)
        out = Chunk(self.at, count, is_text)
        self.at += count
        return out

    def text_bytes(self, text: Chunk) -> Utf8Bytes:
        """Return the bytes that a long text stands for; it is gone through once, however often it is asked for."""
        if text.start not in self._texts:
            self._texts[text.start] = Utf8Bytes(PartOf(self.data, text.start, text.size), self.file)
        return self._texts[text.start]

    def line(self) -> str:
        """Return the ASCII text up to the next line feed."""
        text, feed, _ = self.peek(512).partition(b"\n")
        if not feed or not text.isascii():
            self.fail("a name that does not end or is no ASCII text", "a short name")
        self.at += len(text) + 1
        return text.decode("ascii")

    def _check(self, count: int) -> None:
        left = self.data.size - self.at
        if count < 0 or count > left:
            self.fail(f"a length of {count} with {left} bytes left", "one within them: it is cut short or damaged")

    def _fill(self) -> None:
        self._window_start = self.at
        self._window = self.peek(_WINDOW)
        if not self._window:
            self.fail("no end", "a complete one: it is cut short or damaged")

"""Sums of values and of their squares by channel, exact: no order of adding, no cutting into tiles can change a bit.

A number is an integer times a power of two, so it is added as an integer, into words of 32 bits that stand at fixed
powers of two (Kulisch's long accumulator), carries left for later. Of float32 whole segments of rows are first added up
in 64-bit integers that count in units of 2^-15 of the segment's largest power of two, which LLVM vectorises; the few
values with bits below that unit follow one by one.

    word      0        1        2                      word i counts 2^(32 i) units: the smallest subnormal number, and
          |--------|--------|--------|---- ... ---     for squares the smallest one's square
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .catalog_memory import SUM_FORMATS, SUM_SEGMENT
from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, thread_count, types, void
from .scalar import load, store

Array = np.ndarray[Any, Any]
_NEAR = 15
"""Bits below a segment's largest power of two down to which values are added in the vectorised loop."""
_CARRY_AFTER = 1 << 28
"""Values after which carries are passed on: a word takes 2^30 of them."""


_BITS = {"float32": np.int32, "float64": np.int64}


@dataclass(frozen=True)
class Sums:
    """Sum and sum of squares of `count` values; None where a value is not finite, and `special` then the sum."""

    count: int
    total: Fraction | None
    squares: Fraction | None
    special: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        """Return the sums of both sets of values."""
        count = self.count + other.count
        if self.total is None or other.total is None or self.squares is None or other.squares is None:
            with np.errstate(invalid="ignore"):  # infinities of both signs
                return Sums(count, None, None, float(np.float64(self.special) + np.float64(other.special)))
        return Sums(count, self.total + other.total, self.squares + other.squares)

    def mean(self) -> float:
        """Return the mean, rounded once to float64; NaN of no values, which a run that was stopped may have."""
        if not self.count:
            return float("nan")
        return self.special if self.total is None else _round(self.total / self.count)

    def variance(self) -> float:
        """Return the mean square deviation from the mean (of the population), rounded once to float64."""
        if self.total is None or self.squares is None or not self.count:
            return float("nan")
        return _round(self.squares / self.count - (self.total / self.count) ** 2)


def _round(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def sum_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `ExactSums` calls, for `jit.missing` and a child process."""
    return [KernelSpec("exact_sums.add", dtype)]


class ExactSums:
    """Exact sums of every channel, to which boxes of voxels are added in any order.

    Parameters
    ----------
    dtype : str
        Of the values: ``float32`` or ``float64``.
    channels : int
    """

    def __init__(self, dtype: str, channels: int) -> None:
        form = SUM_FORMATS[dtype]
        self._form, self._dtype, self._channels = form, dtype, channels
        self._kernel = get_kernel(KernelSpec("exact_sums.add", dtype))
        self._tasks = thread_count()
        self._words = np.zeros((self._tasks, channels, form.entries), np.int64)
        self._lines = np.empty(self._tasks * SUM_SEGMENT, _BITS[dtype])
        self._count = self._uncarried = 0

    def add(self, x: Array, start: int, steps: Sequence[int], box: Sequence[int]) -> None:
        """Add every voxel (z, y, x) of a box, ``x[start + c*sc + z*sz + y*sy + x*sx]`` to channel c.

        Parameters
        ----------
        x : flat array of the dtype
        start : int
            Element of voxel (0, 0, 0) of channel 0.
        steps : 4 ints
            Elements from one channel, z, y, x to the next.
        box : 3 ints
            Voxels along z, y, x.
        """
        if min(box) <= 0:
            return
        sizes, by = _join(box, steps[1:])
        bits = x.view(_BITS[self._dtype])
        self._kernel(bits, start, (steps[0], *by), sizes, self._channels, self._words.ravel(), self._lines, self._tasks)
        voxels = box[0] * box[1] * box[2]
        self._count += voxels
        self._uncarried += voxels
        if self._uncarried >= _CARRY_AFTER:
            self._carry()

    def state(self) -> Array:
        """Return what was added so far, (channels, `SumFormat.entries`) int64; `merge` takes it."""
        self._carry()
        return np.asarray(self._words.sum(axis=0))

    def merge(self, state: Array, count: int) -> None:
        """Add what another one's `state` holds, of `count` voxels."""
        self._words[0] += state
        self._count += count
        self._carry()

    def clear(self) -> None:
        """Forget all that was added."""
        self._words[...] = 0
        self._count = self._uncarried = 0

    @property
    def count(self) -> int:
        """Voxels added so far."""
        return self._count

    def _carry(self) -> None:
        """Pass on what the words hold beyond 32 bits; the last word of each sum keeps its own, and the sign."""
        self._uncarried = 0
        end = self._form.words + self._form.square_words
        for part in (self._words[..., : self._form.words], self._words[..., self._form.words : end]):
            for n in range(part.shape[-1] - 1):
                part[..., n + 1] += part[..., n] >> 32
                part[..., n] &= 0xFFFFFFFF

    def sums(self) -> list[Sums]:
        """Return the sums of each channel."""
        words: list[list[int]] = self._words.astype(object).sum(axis=0).tolist()
        return [self._read(channel) for channel in words]

    def _read(self, words: list[int]) -> Sums:
        form = self._form
        above, below, none = words[-3:]
        if above or below or none:
            special = float("nan") if none or (above and below) else float("inf" if above else "-inf")
            return Sums(self._count, None, None, special)
        total = sum(word << (32 * n) for n, word in enumerate(words[: form.words]))
        squares = sum(word << (32 * n) for n, word in enumerate(words[form.words : -3]))
        return Sums(self._count, Fraction(total, 1 << form.unit), Fraction(squares, 1 << (2 * form.unit)))


def _join(box: Sequence[int], steps: Sequence[int]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the sizes and steps of the same voxels in rows as long as can be."""
    rows: list[tuple[int, int]] = []
    for size, step in zip(box, steps, strict=True):
        if size == 1:
            continue
        if rows and rows[-1][1] == size * step:
            size *= rows.pop()[0]
        rows.append((size, step))
    rows = [(1, 0)] * (3 - len(rows)) + rows
    (a, sa), (b, sb), (c, sc) = rows
    return (a, b, c), (sa, sb, sc)


@inlined
def add_at(words: Any, first: Any, value: Any, bit: Any) -> None:
    """Add ``value·2^bit`` to the sum whose words begin at `first`."""
    word, shift = first + (bit >> 5), bit & 31
    low = (value & 0xFFFFFFFF) << shift
    high = (value >> 32) << shift
    words[word] += low & 0xFFFFFFFF
    words[word + 1] += (low >> 32) + (high & 0xFFFFFFFF)
    words[word + 2] += high >> 32


@register("exact_sums.add", parallel=True)
def make_add(real: Any) -> tuple[Any, Any]:
    """Make the kernel; segments of rows run in parallel, every task adding to words of its own."""
    name = "float32" if real.bitwidth == 32 else "float64"
    form = SUM_FORMATS[name]
    whole = types.int32 if real.bitwidth == 32 else int64
    width = form.entries
    add_line = _make_add_line(name)

    def add(bits: Any, start: Any, steps: Any, sizes: Any, channels: Any, words: Any, lines: Any, tasks: Any) -> None:
        segments = (sizes[2] + SUM_SEGMENT - 1) // SUM_SEGMENT
        units = sizes[0] * sizes[1] * segments
        for task in prange(tasks):
            line = task * SUM_SEGMENT
            for unit in range(units * task // tasks, units * (task + 1) // tasks):
                row, segment = unit // segments, unit % segments
                first = segment * SUM_SEGMENT
                count = min(SUM_SEGMENT, sizes[2] - first)
                at = start + row // sizes[1] * steps[1] + row % sizes[1] * steps[2] + first * steps[3]
                for c in range(channels):
                    into = (task * channels + c) * width
                    if steps[3] == 1:
                        add_line(bits, at + c * steps[0], count, words, into)
                    else:
                        for i in range(count):
                            store(lines, line + i, load(bits, at + c * steps[0] + i * steps[3]))
                        add_line(lines, line, count, words, into)

    three, four = types.UniTuple(int64, 3), types.UniTuple(int64, 4)
    written = (flat(int64, writable=True), flat(whole, writable=True))
    return add, void(flat(whole), int64, four, three, int64, *written, int64)


def _make_add_line(name: str) -> Any:
    """Return what adds `count` values that lie side by side to the words from `into`: sum, squares, special values."""
    form = SUM_FORMATS[name]
    fraction, mask = form.fraction_bits, form.exponent_mask
    squares, special = form.words, form.words + form.square_words
    half = fraction // 2 + 1  # bits of the lower part of a fraction, whose products with both parts fit 64 bits

    @inlined
    def add_value(b: Any, words: Any, into: Any) -> None:
        exponent, m = (b >> fraction) & mask, b & ((1 << fraction) - 1)
        if exponent == mask:
            words[into + special + (2 if m != 0 else 1 if b < 0 else 0)] += 1
            return
        if exponent > 0:
            m |= 1 << fraction
            exponent -= 1
        add_at(words, into, -m if b < 0 else m, exponent)
        high, low = m >> half, m & ((1 << half) - 1)
        add_at(words, into + squares, low * low, 2 * exponent)
        add_at(words, into + squares, 2 * high * low, 2 * exponent + half)
        add_at(words, into + squares, high * high, 2 * exponent + 2 * half)

    if name == "float64":

        @inlined
        def add_line_float64(bits: Any, at: Any, count: Any, words: Any, into: Any) -> None:
            for i in range(count):
                add_value(int64(load(bits, at + i)), words, into)

        return add_line_float64

    @inlined
    def add_line_float32(bits: Any, at: Any, count: Any, words: Any, into: Any) -> None:
        top = np.int32(0)
        for i in range(count):
            size = load(bits, at + i) & np.int32(0x7FFFFFFF)
            top = size if size > top else top
        if top == 0:
            return
        largest = int64(top) >> 23
        low = max(largest - _NEAR, 1)
        total = a = b = c = far = int64(0)
        if largest == 255:
            low = int64(256)  # not finite: one by one
        for i in range(count):
            word = load(bits, at + i)
            v = int64(word)
            exponent, m = (v >> 23) & 255, v & 0x7FFFFF
            m = m | 0x800000 if exponent > 0 else m
            exponent = exponent if exponent > 0 else int64(1)
            shift = exponent - low
            far |= m if shift < 0 else int64(0)
            m = m if shift >= 0 else int64(0)
            shift = shift if shift >= 0 else int64(0)
            scaled = m << shift
            total += -scaled if v < 0 else scaled
            square, twice = m * m, 2 * shift
            a += (square & 0xFFFF) << twice
            b += ((square >> 16) & 0xFFFF) << twice
            c += (square >> 32) << twice
        if largest < 255:
            add_at(words, into, total, low - 1)
            add_at(words, into + squares, a, 2 * low - 2)
            add_at(words, into + squares, b, 2 * low + 14)
            add_at(words, into + squares, c, 2 * low + 30)
        if far != 0:
            for i in range(count):
                v = int64(load(bits, at + i))
                exponent = (v >> 23) & 255
                if exponent < low and (v & 0x7FFFFFFF) != 0 and max(exponent, int64(1)) < low:
                    add_value(v, words, into)

    return add_line_float32

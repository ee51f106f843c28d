"""Half-open boxes of voxels: the currency of planning, reading and writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod


@dataclass(frozen=True, slots=True)
class Region:
    """The box ``start <= index < stop``, one entry an axis (D, H, W unless said otherwise)."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Region:
        """Return the box that covers an array of `shape`."""
        return cls((0,) * len(shape), tuple(shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent along each axis; 0 where the box is empty."""
        return tuple(max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no voxel."""
        return self.size == 0

    def clip(self, other: Region) -> Region:
        """Return the part of the box that lies in `other`."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(min(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Region(start, tuple(max(a, b) for a, b in zip(start, stop, strict=True)))

    def shift(self, offset: tuple[int, ...]) -> Region:
        """Return the box moved by `offset`."""
        return Region(
            tuple(a + o for a, o in zip(self.start, offset, strict=True)),
            tuple(b + o for b, o in zip(self.stop, offset, strict=True)),
        )

    def hull(self, other: Region) -> Region:
        """Return the smallest box that holds both; an empty box adds nothing."""
        if self.is_empty:
            return other
        if other.is_empty:
            return self
        start = tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True))
        return Region(start, tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True)))

    def contains(self, other: Region) -> bool:
        """Return whether every voxel of `other` lies in the box."""
        return other.is_empty or self.clip(other) == other

    def split(self, shape: tuple[int, ...]) -> Iterator[Region]:
        """Yield the boxes of at most `shape` that cover this one, last axis fastest."""
        steps = [range(a, b, n) for a, b, n in zip(self.start, self.stop, shape, strict=True)]
        for corner in product(*steps):
            stop = tuple(min(c + n, b) for c, n, b in zip(corner, shape, self.stop, strict=True))
            yield Region(corner, stop)

    def slices(self, origin: tuple[int, ...] | None = None) -> tuple[slice, ...]:
        """Return the slices that select the box in an array whose first voxel has index `origin` (default 0)."""
        zero = origin or (0,) * len(self.start)
        return tuple(slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, zero, strict=True))

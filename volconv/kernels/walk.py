"""Walks over arrays of the same box and channels in step, whatever their layouts: as few and long rows as can be.

A walk is five nested axes; the innermost is cut into segments. Knows nothing of what is done to a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod
from typing import Any

from .jit import inlined

SEGMENT = 2048  # elements: a segment stays in the first-level cache between two passes over it
_TASKS = 64  # enough for threads to even out


@dataclass(frozen=True)
class Axis:
    """One axis: its length, and elements from one place to the next in the array read and in the one written.

    `period` is the number of channels where the axis counts channels, over and over if it is longer; else 0. `more`
    are the steps in further arrays that are read.
    """

    size: int
    x_step: int
    out_step: int
    period: int = 0
    more: tuple[int, ...] = ()


@dataclass(frozen=True)
class Walk:
    """Five axes, outermost first; the last has an `out_step` of 1."""

    axes: tuple[Axis, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Places along each axis."""
        return tuple(axis.size for axis in self.axes)

    @cached_property
    def x_steps(self) -> tuple[int, ...]:
        """Elements from one place to the next in the array read."""
        return tuple(axis.x_step for axis in self.axes)

    @cached_property
    def more_steps(self) -> tuple[tuple[int, ...], ...]:
        """The same for each further array read."""
        return tuple(zip(*(axis.more for axis in self.axes), strict=True))

    @cached_property
    def out_steps(self) -> tuple[int, ...]:
        """Elements from one place to the next in the array written."""
        return tuple(axis.out_step for axis in self.axes)

    @cached_property
    def channel_steps(self) -> tuple[int, ...]:
        """Channels from one place to the next."""
        return tuple(int(axis.period > 0) for axis in self.axes)

    @cached_property
    def segment(self) -> int:
        """Elements of the innermost axis taken at once; whole rounds of channels where it counts channels."""
        period = max(1, self.axes[4].period)
        return max(1, SEGMENT // period) * period

    @cached_property
    def tasks(self) -> int:
        """Parts to share among threads."""
        return min(_TASKS, prod(self.sizes[:4]) * -(-self.sizes[4] // self.segment))


def make_walk(
    x_steps: Sequence[int],
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
    *,
    by_channel: bool,
    more: Sequence[Sequence[int]] = (),
) -> Walk:
    """Return the walk over `box` voxels of `channels` channels, axes joined where all arrays allow.

    Parameters
    ----------
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next.
    box : 3 ints
        Voxels along z, y, x.
    channels : int
        Channels of each voxel.
    by_channel : bool
        Whether the work differs by channel, so that the walk has to keep count of them.
    more : sequence of 4 ints
        The steps of further arrays that are read.
    """
    further = tuple(tuple(steps) for steps in more)
    return _join_axes(tuple(x_steps), tuple(out_steps), (channels, *box), channels if by_channel else 0, further)


@lru_cache(maxsize=256)  # tile after tile is walked alike, and this takes longer than starting a kernel
def _join_axes(
    x_steps: tuple[int, ...],
    out_steps: tuple[int, ...],
    sizes: tuple[int, ...],
    period: int,
    more: tuple[tuple[int, ...], ...],
) -> Walk:
    axes = [
        Axis(sizes[n], x_steps[n], out_steps[n], 0 if n else period, tuple(steps[n] for steps in more))
        for n in range(4)
    ]
    joined: list[Axis] = []
    for axis in sorted((a for a in axes if a.size != 1), key=lambda a: -abs(a.out_step)):
        if joined and _can_join(joined[-1], axis):
            axis = replace(axis, size=joined.pop().size * axis.size)
        joined.append(axis)
    if not joined or joined[-1].out_step != 1:
        joined.append(Axis(1, 1, 1, more=(1,) * len(more)))
    return Walk((Axis(1, 0, 0, more=(0,) * len(more)),) * (5 - len(joined)) + tuple(joined))


def _can_join(outer: Axis, inner: Axis) -> bool:
    outer_steps, inner_steps = ((a.x_step, a.out_step, *a.more) for a in (outer, inner))
    follows = all(o == inner.size * i for o, i in zip(outer_steps, inner_steps, strict=True))
    # Channels are counted over and over along the innermost axis only.
    return follows and not outer.period and (not inner.period or inner.out_step == 1)


@inlined
def find_place(index: Any, sizes: Any, segments: Any) -> Any:
    """Return (i0, i1, i2, i3, segment) of segment number `index` of a walk."""
    row, segment = index // segments, index % segments
    plane, i3 = row // sizes[3], row % sizes[3]
    i2, i1 = plane % sizes[2], plane // sizes[2] % sizes[1]
    return plane // (sizes[1] * sizes[2]), i1, i2, i3, segment


@inlined
def next_place(place: Any, sizes: Any, segments: Any) -> Any:
    """Return the place that follows, without a division."""
    i0, i1, i2, i3, s = place
    s += 1
    if s == segments:
        s = 0
        i3 += 1
        if i3 == sizes[3]:
            i3 = 0
            i2 += 1
            if i2 == sizes[2]:
                i2 = 0
                i1 += 1
                if i1 == sizes[1]:
                    i1 = 0
                    i0 += 1
    return i0, i1, i2, i3, s


@inlined
def offset_of(place: Any, steps: Any) -> Any:
    """Return the elements from a walk's start to the row of `place`."""
    return place[0] * steps[0] + place[1] * steps[1] + place[2] * steps[2] + place[3] * steps[3]

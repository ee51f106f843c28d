"""Where buffers lie in the arena, and what the whole process will take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..geometry import Triple
from .buffers import Layouts
from .model import Buffer

ALIGN = 1024
"""Elements: buffers start on a page, so that no two threads share a cache line across buffers."""
SLACK = 4096
"""Readable elements a kernel may touch behind the last voxel it was given."""
ROW = 16
"""Elements that rows along W are multiples of where they begin at cache lines: one line, or two in double precision."""
_SHORT_ROW = 112
"""Elements below which longer rows would take too much memory; the worst is 113, which become 144."""


@dataclass(frozen=True)
class Places:
    """Where buffers lie, in elements.

    Attributes
    ----------
    offsets : mapping
        Buffer name to its first element.
    slots : mapping
        Buffer name to the distance from its first to its second slot, for those that have two.
    elements : int
        Of the whole arena.
    """

    offsets: Mapping[str, int]
    slots: Mapping[str, int]
    elements: int


def place_buffers(layouts: Layouts, shapes: Mapping[str, Triple], overlap: bool = False) -> Places:
    """Return where each buffer lies in the arena.

    A buffer lives from the step that fills it to the last that reads it; buffers whose lives overlap never share
    elements. With `overlap` what is read from the input or goes to an output lives always and has two slots: one for
    the tile at hand, and one for the tile to come or the tile before.
    """
    lives = _lives(layouts)
    sizes = {
        name: -(-(_count_elements(layouts.buffers[name], shapes[name]) + SLACK) // ALIGN) * ALIGN for name in lives
    }
    slots: dict[str, int] = {}
    if overlap:
        slots = {name: sizes[name] for name in _exchanged(layouts)}
        sizes |= {name: 2 * size for name, size in slots.items()}
        lives |= dict.fromkeys(slots, (0, len(layouts.steps)))
    offsets, total = place(sizes, lives)
    return Places(offsets, slots, total)


def begins_rows_at_lines(buffer: Buffer, width: int) -> bool:
    """Return whether the inner part of each row of `width` voxels along W begins at a cache line.

    Vectors that straddle two lines load and store at half the rate, so rows with borders beside them are made longer.
    Others lie one behind the other, as their readers and writers want them.
    """
    return buffer.layout == "first" and buffer.mode is not None and buffer.filled and width >= _SHORT_ROW


def row_length(buffer: Buffer, width: int) -> int:
    """Return the elements from one row of `width` voxels along W to the next, of a buffer that lies channels first."""
    if not begins_rows_at_lines(buffer, width):
        return width
    whole = -(-width // ROW) * ROW
    return whole if whole % (4 * ROW) else whole + ROW  # rows many powers of two apart share few cache sets


def _count_elements(buffer: Buffer, shape: Triple) -> int:
    d, h, w = shape
    more = ROW if begins_rows_at_lines(buffer, w) else 0  # the first row may begin up to a line behind the buffer
    return d * h * row_length(buffer, w) * buffer.channels + more


def place(sizes: Mapping[str, int], lives: Mapping[str, tuple[int, int]]) -> tuple[dict[str, int], int]:
    """Return an offset for each name, such that those whose lives (first and last step) meet do not, and the end.

    Larger ones are placed first, each at the lowest offset that is free.
    """
    offsets: dict[str, int] = {}
    for name in sorted(lives, key=lambda n: (-sizes[n], lives[n])):
        taken = sorted(
            (offsets[o], offsets[o] + sizes[o])
            for o in offsets
            if lives[o][0] <= lives[name][1] and lives[name][0] <= lives[o][1]
        )
        at = 0
        for start, stop in taken:
            if at + sizes[name] <= start:
                break
            at = max(at, stop)
        offsets[name] = at
    return offsets, max((offsets[n] + sizes[n] for n in offsets), default=0)


def _exchanged(layouts: Layouts) -> set[str]:
    """Return the buffers that the reader fills or the writers take; stored wires are the engine's own affair."""
    read = {step.target for step in layouts.steps if step.kind == "read" and not step.node}
    return read | {step.sources[0] for step in layouts.steps if step.kind == "write"}


def _lives(layouts: Layouts) -> dict[str, tuple[int, int]]:
    """Return first and last step of each buffer."""
    lives: dict[str, tuple[int, int]] = {}
    for n, step in enumerate(layouts.steps):
        for name in (step.target, *step.sources):
            if name:
                lives[name] = (lives.get(name, (n, n))[0], n)
    return lives

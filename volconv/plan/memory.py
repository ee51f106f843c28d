"""Where buffers lie in the arena, and what the whole process will take."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ..geometry import Triple
from .buffers import Layouts

ALIGN = 1024
"""Elements: buffers start on a page, so that no two threads share a cache line across buffers."""
SLACK = 4096
"""Readable elements a kernel may touch behind the last voxel it was given."""


def place_buffers(layouts: Layouts, shapes: Mapping[str, Triple]) -> tuple[dict[str, int], int]:
    """Return the offset of each buffer in the arena, and the arena's size, both in elements.

    A buffer lives from the step that fills it to the last that reads it; buffers whose lives overlap never share
    elements. Larger ones are placed first, each at the lowest offset that is free.
    """
    lives = _lives(layouts)
    sizes = {name: -(-(prod(shapes[name]) * layouts.buffers[name].channels + SLACK) // ALIGN) * ALIGN for name in lives}
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
    total = max((offsets[n] + sizes[n] for n in offsets), default=0)
    return offsets, total


def _lives(layouts: Layouts) -> dict[str, tuple[int, int]]:
    """Return first and last step of each buffer."""
    lives: dict[str, tuple[int, int]] = {}
    for n, step in enumerate(layouts.steps):
        for name in (step.target, *step.sources):
            if name:
                lives[name] = (lives.get(name, (n, n))[0], n)
    return lives

"""Every so many channels and voxels of a box: slices, crops, flips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from ..geometry import VoxelMap
from .base import Interval, Wire

AXES = ("channels", "D", "H", "W")
Four = tuple[int, int, int, int]


@dataclass(frozen=True)
class Slice:
    """``y[c, p] = x[start + (c, p)·step]`` along channels, D, H, W.

    Attributes
    ----------
    start : four ints
        What the first place of the result holds.
    size : four ints
        Channels and voxels taken; all that there are from `start` on for 0.
    step : four ints
        Not 0; a negative one turns an axis round.
    """

    start: Four = (0, 0, 0, 0)
    size: Four = (0, 0, 0, 0)
    step: Four = (1, 1, 1, 1)

    kernel: ClassVar[str] = "slice"
    padding_mode: ClassVar[None] = None

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the grid of the voxels that are taken."""
        (wire,) = inputs
        c, d, h, w = (self._length(axis, n) for axis, n in enumerate((wire.channels, *wire.shape)))
        step = VoxelMap(tuple(map(float, self.step[1:])), tuple(map(float, self.start[1:])))  # type: ignore[arg-type]
        return wire.derived((d, h, w), c, step)

    def _length(self, axis: int, length: int) -> int:
        start, size, step = self.start[axis], self.size[axis], self.step[axis]
        if not 0 <= start < length:
            raise ShapeError(f"start {start} along {AXES[axis]} of size {length}, expected 0 to {length - 1}")
        most = (length - start - 1) // step + 1 if step > 0 else start // -step + 1
        if size > most:
            raise ShapeError(
                f"{size} places from {start} on in steps of {step} along {AXES[axis]} of size {length}, "
                f"expected at most {most}"
            )
        return size or most

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return ``[start + a·step, start + (b-1)·step + 1)``, or the same from the other end for a negative step."""
        a, b = out
        start, step = self.start[1 + axis], self.step[1 + axis]
        if b <= a:
            return (start, start)
        ends = (start + a * step, start + (b - 1) * step)
        return (min(ends), max(ends) + 1)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: nothing is computed."""
        return 0

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return no weights."""
        return {}

    def describe(self) -> Mapping[str, Any]:
        """Return where it starts, what it takes and its steps, over channels, D, H, W, where they are not all there."""
        names = {"start": (0, 0, 0, 0), "size": (0, 0, 0, 0), "step": (1, 1, 1, 1)}
        return {name: getattr(self, name) for name, default in names.items() if getattr(self, name) != default}

"""Mean and maximum of each channel over the whole volume: one voxel is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..geometry import VoxelMap
from .base import Interval, Local, Reach, Wire

_ALL = 1 << 40
"""Beyond the end of any axis."""


@dataclass(frozen=True)
class GlobalPool(Local):
    """``y`` = the mean, summed exactly and rounded once, or the largest value, of each channel; NaN if any is.

    Attributes
    ----------
    kind : {"average", "max"}
    """

    kind: Literal["average", "max"]

    kernel: ClassVar[str] = "global_pool"
    reach: ClassVar[Reach] = "global"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return a wire of one voxel, which stands in the middle of the volume and is as large."""
        (wire,) = inputs
        d, h, w = wire.shape
        step = VoxelMap((float(d), float(h), float(w)), ((d - 1) / 2, (h - 1) / 2, (w - 1) / 2))
        return wire.derived((1, 1, 1), wire.channels, step)

    def in_interval(self, axis: int, out: Interval) -> Interval:  # noqa: ARG002
        """Return the whole axis."""
        return (0, _ALL) if out[0] < out[1] else (0, 0)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory, not by arithmetic."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: the operator's name says it all."""
        return {}

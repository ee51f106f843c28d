"""Channels spread over blocks of voxels: what a sub-pixel convolution ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from ..errors import ShapeError
from ..geometry import Triple, VoxelMap
from .base import Interval, Wire
from .window import check_size


@dataclass(frozen=True)
class PixelShuffle3d:
    """``y[c, d·rd + i, h·rh + j, w·rw + k] = x[((c·rd + i)·rh + j)·rw + k, d, h, w]``: C·rd·rh·rw channels to C.

    Attributes
    ----------
    factors : tuple of int
        rd, rh, rw.
    phase_first : bool
        Whether places in a block vary slower than channels: ``x[((i·rh + j)·rw + k)·C + c, d, h, w]``.
    """

    factors: Triple
    phase_first: bool = False

    kernel: ClassVar[str] = "pixel_shuffle"
    padding_mode: ClassVar[None] = None

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the output's wire; a block fills the voxel it comes from."""
        (wire,) = inputs
        places = prod(self.factors)
        if wire.channels % places:
            raise ShapeError(f"input of {wire.channels} channels, expected a multiple of {places}")
        d, h, w = (n * r for n, r in zip(wire.shape, self.factors, strict=True))
        check_size((d, h, w), wire.channels // places)
        scale = tuple(1 / r for r in self.factors)
        offset = tuple((s - 1) / 2 for s in scale)
        return wire.derived((d, h, w), wire.channels // places, VoxelMap(scale, offset))  # type: ignore[arg-type]

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return ``[a // r, (b-1) // r + 1)``."""
        start = out[0] // self.factors[axis]
        return (start, (out[1] - 1) // self.factors[axis] + 1 if out[1] > out[0] else start)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: numbers are moved."""
        return 0

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return no weights."""
        return {}

    def describe(self) -> Mapping[str, Any]:
        """Return the factors, and the order of channels where it is not torch's."""
        return {"upscale_factor": self.factors, **({"mode": "DCR"} if self.phase_first else {})}

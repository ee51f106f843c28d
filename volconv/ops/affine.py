"""A scale and a shift for each channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Local, Wire


@dataclass(frozen=True)
class Affine(Local):
    """``y = scale·x + shift`` with one rounding; each a single number or one a channel."""

    scale: tuple[float, ...] = (1.0,)
    shift: tuple[float, ...] = (0.0,)

    kernel: ClassVar[str] = "pointwise"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire."""
        (wire,) = inputs
        for key, values in (("scale", self.scale), ("shift", self.shift)):
            if len(values) not in (1, wire.channels):
                raise ShapeError(f"{key} of {len(values)} numbers on {wire.channels} channels, expected 1 or one each")
        return wire

    def macs(self, voxels: int) -> int:
        """Return one product a voxel."""
        return voxels

    def describe(self) -> Mapping[str, Any]:
        """Return scale and shift."""
        one = {k: v[0] if len(v) == 1 else v for k, v in (("scale", self.scale), ("shift", self.shift))}
        return {k: v for k, v in one.items() if v != {"scale": 1.0, "shift": 0.0}[k]}

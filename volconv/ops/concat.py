"""The channels of several stages one after the other: the skip connections of a U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Local, Wire
from .merge import merge_wires
from .window import check_size


@dataclass(frozen=True)
class Concat(Local):
    """``y = torch.cat([x1, x2, …], dim=1)``: channels in the order of the inputs, which are all of one size."""

    kernel: ClassVar[str] = "concat"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the inputs' grid with all their channels."""
        if len(inputs) < 2:
            raise ShapeError(f"{len(inputs)} inputs, expected at least 2")
        merged = merge_wires(inputs)
        channels = sum(wire.channels for wire in inputs)
        check_size(merged.shape, channels)
        return merged.derived(merged.shape, channels)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory, not by arithmetic."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: it has no parameters."""
        return {}

"""The sum of several stages: a skip, or a residual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Local, Wire
from .merge import merge_wires


@dataclass(frozen=True)
class Add(Local):
    """``y = ((x1 + x2) + x3) + …``, in the order of the inputs, all of one shape and as many channels."""

    kernel: ClassVar[str] = "add"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the inputs' common wire."""
        if len(inputs) < 2:
            raise ShapeError(f"{len(inputs)} inputs, expected at least 2")
        channels = [wire.channels for wire in inputs]
        if len(set(channels)) != 1:
            raise ShapeError(f"inputs of {', '.join(map(str, channels))} channels, expected as many in each")
        return merge_wires(inputs)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory, not by arithmetic."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: it has no parameters."""
        return {}

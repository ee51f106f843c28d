"""Euclidean length over channels: a gradient's magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Local, Wire


@dataclass(frozen=True)
class VectorNorm(Local):
    """``y = sqrt(sum over channels of x²)``: one channel out."""

    kernel: ClassVar[str] = "vector_norm"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's grid with one channel."""
        (wire,) = inputs
        return wire.derived(wire.shape, 1)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory, not by arithmetic."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: it has no parameters."""
        return {}

"""Scores to probabilities, or to their logarithms, over channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Local, Wire


@dataclass(frozen=True)
class Softmax(Local):
    """``y_c = exp(x_c - m)/Σ exp(x - m)`` over channels, m the largest of them; with `log` its logarithm."""

    log: bool = False

    kernel: ClassVar[str] = "softmax"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's grid and channels."""
        (wire,) = inputs
        return wire.derived(wire.shape, wire.channels)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory and exponentials, not by products."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: what it is called says which it is."""
        return {}

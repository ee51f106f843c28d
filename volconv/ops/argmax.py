"""Scores to labels: the number of the largest channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import MOST_LABELS, Local, Wire


@dataclass(frozen=True)
class ArgMax(Local):
    """The number of the largest channel, one channel out; of equal ones the first, or the `last`; NaN is largest."""

    last: bool = False

    kernel: ClassVar[str] = "argmax"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's grid with one channel of labels."""
        (wire,) = inputs
        if wire.channels > MOST_LABELS:
            raise ShapeError(f"{wire.channels} channels, expected at most {MOST_LABELS}: more numbers float32 has not")
        return replace(wire.derived(wire.shape, 1), labels=wire.channels)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory, not by arithmetic."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return which of equal channels counts, where that is the last."""
        return {"last": True} if self.last else {}

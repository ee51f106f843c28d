"""The stage that changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Local, Wire


@dataclass(frozen=True)
class Identity(Local):
    """``y = x``."""

    kernel: ClassVar[str] = "copy"
    keeps_labels: ClassVar[bool] = True

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire."""
        (wire,) = inputs
        return wire

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: it has no parameters."""
        return {}

"""Holes of labels filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Local, Wire
from .trailing import label_wire


@dataclass(frozen=True)
class FillHoles(Local):
    """Background that a label encloses takes that label.

    A hole of a label is a part of everything else, connected through faces, that reaches no border of the volume (an
    axis of one voxel has no border). Other labels inside a hole are kept; background in holes of several labels, one
    around the other, takes the innermost.
    """

    kernel: ClassVar[str] = "fill_holes"
    keeps_labels: ClassVar[bool] = True
    trailing: ClassVar[bool] = True

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire, which has to be one of labels."""
        return label_wire(inputs)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: no products are summed."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: it has no parameters."""
        return {}

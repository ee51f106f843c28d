"""The largest connected part of every label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Local, Wire
from .trailing import label_wire

CONNECTIVITIES = (6, 18, 26)


@dataclass(frozen=True)
class LargestComponent(Local):
    """Every label keeps its largest connected component, the first of equal ones in the order D, H, W; the rest is 0.

    Attributes
    ----------
    connectivity : int
        Neighbours share a face (6), at most an edge (18), or at most a corner (26).
    """

    connectivity: int = 26

    kernel: ClassVar[str] = "largest_component"
    keeps_labels: ClassVar[bool] = True
    trailing: ClassVar[bool] = True

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire, which has to be one of labels."""
        return label_wire(inputs)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: no products are summed."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return the connectivity, where it is not 26."""
        return {} if self.connectivity == 26 else {"connectivity": self.connectivity}

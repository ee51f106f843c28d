"""Labels renamed: some replaced by others, the rest kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Local, Wire


@dataclass(frozen=True)
class Remap(Local):
    """Every value equal to the first of a pair becomes the second; others are kept.

    Attributes
    ----------
    labels : tuple of (int, int)
        Label and what stands in its place, by rising label.
    """

    labels: tuple[tuple[int, int], ...]

    kernel: ClassVar[str] = "remap"
    keeps_labels: ClassVar[bool] = True

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire, with as many labels as the numbers that are left reach to.

        Features stay features: values that are no label are kept as they are.
        """
        (wire,) = inputs
        if not wire.labels:
            return wire
        for label, _ in self.labels:
            if label >= wire.labels:
                raise ShapeError(f"labels: found {label}, expected a label from 0 to {wire.labels - 1}")
        renamed = dict(self.labels)
        # the largest label that is kept, looked for from above: few of many are renamed
        kept = next((n for n in reversed(range(wire.labels)) if n not in renamed), 0)
        return replace(wire, labels=1 + max((kept, *renamed.values())))

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: no products are summed."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return the pairs."""
        return {"labels": tuple(f"{old}:{new}" for old, new in self.labels)}

"""Functions of one value: torch's activations, clipping and the absolute value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Local, Wire


@dataclass(frozen=True)
class Activation(Local):
    """``y = f(x)`` for the function `kind` of the kernel catalog.

    Attributes
    ----------
    kind : str
        A name of `volconv.kernels.catalog.ACTIVATIONS`.
    parameters : tuple of float
        The function's parameters, in the catalog's order.
    slopes : int
        For ``prelu``: how many slopes it learns, 1 or one a channel; else 0.
    """

    kind: str
    parameters: tuple[float, ...] = ()
    slopes: int = 0

    kernel: ClassVar[str] = "pointwise"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire; behind a threshold, that of labels 0 and 1."""
        (wire,) = inputs
        if self.slopes not in (0, 1, wire.channels):
            raise ShapeError(f"num_parameters {self.slopes} on {wire.channels} channels, expected 1 or {wire.channels}")
        return replace(wire, labels=2) if self.kind == "threshold" else wire

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: no products are summed."""
        return 0

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the slopes of a PReLU as ``weight``."""
        return {"weight": (self.slopes,)} if self.slopes else {}

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters."""
        return {"parameters": self.parameters} if self.parameters else {}

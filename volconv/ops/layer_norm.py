"""Layer normalisation over channels: each voxel's channels are brought to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Local, Wire


@dataclass(frozen=True)
class LayerNorm(Local):
    """``y = (x - mean)/sqrt(variance + eps)·weight + bias``, mean and variance over the channels of each voxel.

    It is ``torch.nn.LayerNorm(C)`` on a tensor whose last axis is the channels. The variance is that of the channels
    at hand: divided by C, not C - 1.

    Attributes
    ----------
    channels : int
        C.
    eps : float
        Added to the variance.
    weight, bias : bool
        Whether it has these tensors, (C,); where not they are 1 and 0.
    """

    channels: int
    eps: float = 1e-5
    weight: bool = True
    bias: bool = True

    kernel: ClassVar[str] = "layer_norm"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire."""
        (wire,) = inputs
        if wire.channels != self.channels:
            raise ShapeError(f"input of {wire.channels} channels, expected normalized_shape = {self.channels}")
        return wire

    def macs(self, voxels: int) -> int:
        """Return a product for each square, and one for each value's scale."""
        return 2 * voxels * self.channels

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return (C,) for each tensor it has."""
        names = (*(["weight"] if self.weight else []), *(["bias"] if self.bias else []))
        return dict.fromkeys(names, (self.channels,))

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults."""
        out: dict[str, Any] = {} if self.eps == 1e-5 else {"eps": self.eps}
        if not self.weight:
            out["elementwise_affine"] = False
        elif not self.bias:
            out["bias"] = False
        return out

"""Group and instance normalisation: channels scaled and shifted by the statistics of the volume at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Local, Reach, Wire
from .batch_norm import BatchNorm


@dataclass(frozen=True)
class GroupNorm(Local):
    """``y = (x - mean)/sqrt(variance + eps)·weight + bias``, mean and population variance of a group's whole volume.

    As many groups as channels make an instance normalisation. With mean and variance known it is the `BatchNorm` that
    `settled` returns; to know them, every voxel of the input has to be computed first.

    Attributes
    ----------
    num_groups, num_channels : int
        Groups are runs of neighbouring channels.
    eps : float
        Added to the variance.
    weight, bias : bool
        Whether it has these tensors; where not they are 1 and 0.
    """

    num_groups: int
    num_channels: int
    eps: float = 1e-5
    weight: bool = True
    bias: bool = True

    kernel: ClassVar[str] = "pointwise"
    reach: ClassVar[Reach] = "global"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire."""
        (wire,) = inputs
        if wire.channels != self.num_channels:
            raise ShapeError(f"input of {wire.channels} channels, expected {self.num_channels}")
        if self.num_channels % self.num_groups:
            raise ShapeError(f"{self.num_channels} channels, expected a multiple of num_groups = {self.num_groups}")
        return wire

    def settled(self) -> BatchNorm:
        """Return the norm it is once its statistics are known, as ``running_mean`` and ``running_var``."""
        return BatchNorm(self.num_channels, self.eps, self.weight, self.bias)

    def macs(self, voxels: int) -> int:
        """Return two products a value: its square, and the scaling."""
        return 2 * voxels * self.num_channels

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return (C,) for each tensor it has."""
        names = (*(["weight"] if self.weight else []), *(["bias"] if self.bias else []))
        return dict.fromkeys(names, (self.num_channels,))

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults."""
        out: dict[str, Any] = {} if self.num_groups == self.num_channels else {"num_groups": self.num_groups}
        if self.eps != 1e-5:
            out["eps"] = self.eps
        if not self.weight:
            out["affine"] = False
        elif not self.bias:
            out["bias"] = False
        return out

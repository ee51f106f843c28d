"""Batch normalisation at inference: each channel scaled and shifted by the statistics gathered in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError, WeightsError
from .base import Array, Local, Wire

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class BatchNorm(Local):
    """``y = (x - running_mean)/sqrt(running_var + eps)·weight + bias``, as ``scale·x + shift`` with one rounding.

    Attributes
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    weight, bias : bool
        Whether it has these tensors; where not they are 1 and 0.
    """

    num_features: int
    eps: float = 1e-5
    weight: bool = True
    bias: bool = True

    kernel: ClassVar[str] = "pointwise"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's wire."""
        (wire,) = inputs
        if wire.channels != self.num_features:
            raise ShapeError(f"input of {wire.channels} channels, expected num_features = {self.num_features}")
        return wire

    def macs(self, voxels: int) -> int:
        """Return one product a value."""
        return voxels * self.num_features

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return (C,) for each tensor it has."""
        names = (*(["weight"] if self.weight else []), *(["bias"] if self.bias else []), *STATISTICS)
        return dict.fromkeys(names, (self.num_features,))

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults."""
        out: dict[str, Any] = {} if self.eps == 1e-5 else {"eps": self.eps}
        if not self.weight:
            out["affine"] = False
        elif not self.bias:
            out["bias"] = False
        return out


def scale_and_shift(op: BatchNorm, tensors: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return ``weight/sqrt(running_var + eps)`` and ``bias - running_mean·scale`` a channel, (C,) float64."""
    exact = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
    with np.errstate(all="ignore"):
        scale = exact.get("weight", 1.0) / np.sqrt(exact["running_var"] + op.eps)
        shift = exact.get("bias", 0.0) - exact["running_mean"] * scale
    return scale, shift


def check_statistics(op: BatchNorm, tensors: Mapping[str, Array], dtype: str) -> None:
    """Raise `WeightsError` where a channel's scale or shift is not finite in `dtype`, a type of computation."""
    variance = np.asarray(tensors["running_var"], np.float64) + op.eps
    wrong = np.flatnonzero(~(variance > 0))
    if wrong.size:
        at = int(wrong[0])
        raise WeightsError(
            f"running_var + eps is {variance[at]:g} in channel {at} ({wrong.size} such), expected more than 0",
            code="weights.not_finite",
        )
    with np.errstate(over="ignore"):
        parts = [part.astype(dtype) for part in scale_and_shift(op, tensors)]
    wrong = np.flatnonzero(~(np.isfinite(parts[0]) & np.isfinite(parts[1])))
    if wrong.size:
        at = int(wrong[0])
        raise WeightsError(
            f"scale {parts[0][at]:g} and shift {parts[1][at]:g} in channel {at} ({wrong.size} such), expected numbers "
            f"that are finite in {dtype}",
            code="weights.not_finite",
        )

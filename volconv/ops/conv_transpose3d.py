"""Transposed convolution: the gradient of a convolution with respect to its input, computed as a gather."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

from ..errors import ShapeError
from ..geometry import Triple, VoxelMap
from .base import AXIS_NAMES, Interval, Wire
from .window import check_size


@dataclass(frozen=True)
class ConvTranspose3d:
    """Input i under tap t adds to output ``i·stride - pad_low + t·dilation``; only whole hits count.

    Output length ``(L-1)·s - lo - hi + d·(k-1) + output_padding + 1``. Weights (I, O/G, kd, kh, kw) and (O,).

    `padding_from` names the parameter that padding was worked out from for an input of known size, and its value:
    for display alone.
    """

    in_channels: int
    out_channels: int
    kernel_size: Triple
    stride: Triple = (1, 1, 1)
    pad_low: Triple = (0, 0, 0)
    pad_high: Triple = (0, 0, 0)
    output_padding: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    groups: int = 1
    bias: bool = True
    padding_from: tuple[str, Any] | None = field(default=None, compare=False)

    kernel: ClassVar[str] = "conv_transpose"
    padding_mode: ClassVar[str] = "zeros"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the output's wire; output voxel p sits at input voxel ``(p + lo - d·(k-1)/2)/s``."""
        (wire,) = inputs
        if wire.channels != self.in_channels:
            raise ShapeError(f"input of {wire.channels} channels, expected in_channels = {self.in_channels}")
        d, h, w = (self._length(axis, wire.shape[axis]) for axis in range(3))
        check_size((d, h, w), self.out_channels)
        offset = tuple(
            (p - d * (k - 1) / 2) / s
            for p, d, k, s in zip(self.pad_low, self.dilation, self.kernel_size, self.stride, strict=True)
        )
        step = VoxelMap(tuple(1.0 / s for s in self.stride), offset)  # type: ignore[arg-type]
        return wire.derived((d, h, w), self.out_channels, step)

    def _length(self, axis: int, length: int) -> int:
        lo, hi, extra = self.pad_low[axis], self.pad_high[axis], self.output_padding[axis]
        k, s, d = self.kernel_size[axis], self.stride[axis], self.dilation[axis]
        out = (length - 1) * s - lo - hi + d * (k - 1) + extra + 1
        if out < 1 or length < 1:
            raise ShapeError(
                f"output of {out} voxels along {AXIS_NAMES[axis]} from an input of {length}, expected at least 1"
            )
        return out

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return ``[ceil((a + p - d·(k-1))/s), floor((b-1+p)/s) + 1)``."""
        p, s = self.pad_low[axis], self.stride[axis]
        start = -((self.dilation[axis] * (self.kernel_size[axis] - 1) - out[0] - p) // s)
        if out[1] <= out[0]:
            return (start, start)
        return (start, max(start, (out[1] - 1 + p) // s + 1))

    def macs(self, voxels: int) -> int:
        """Return products of `voxels` outputs of every channel: a stride³-th of the taps hits each."""
        products = self.out_channels * (self.in_channels // self.groups) * prod(self.kernel_size)
        return -(-voxels * products // prod(self.stride))

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return weight (I, O/G, kd, kh, kw) and, if wanted, bias (O,)."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        }
        if self.bias:
            shapes["bias"] = (self.out_channels,)
        return shapes

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults."""
        out: dict[str, Any] = {"kernel_size": self.kernel_size, "stride": self.stride}
        if self.padding_from is not None:
            out[self.padding_from[0]] = self.padding_from[1]
        elif any(self.pad_low) or any(self.pad_high):
            out["padding"] = self.pad_low if self.pad_low == self.pad_high else (self.pad_low, self.pad_high)
        if any(self.output_padding) and self.padding_from is None:
            out["output_padding"] = self.output_padding
        if self.dilation != (1, 1, 1):
            out["dilation"] = self.dilation
        if self.groups != 1:
            out["groups"] = self.groups
        if not self.bias:
            out["bias"] = False
        return out

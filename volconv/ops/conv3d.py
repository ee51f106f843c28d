"""Cross-correlation with a bank of filters; a 2-D convolution is one with a kernel of depth 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

from ..errors import ShapeError
from ..geometry import Triple, VoxelMap
from .base import AXIS_NAMES, Interval, Wire
from .window import check_padding_limit, check_size, forward_length


@dataclass(frozen=True)
class Conv3d:
    """``y[o, p] = bias[o] + sum over c, t of x[g(o)·I/G + c, p·stride - pad_low + t·dilation] · weight[o, c, t]``.

    The parameters are canonical: three ints an axis triple, padding as voxels at the low and the high end.
    Weights (O, I/G, kd, kh, kw) and (O,).

    `padding_from` names the parameter that padding was worked out from for an input of known size, and its value:
    for display alone.
    """

    in_channels: int
    out_channels: int
    kernel_size: Triple
    stride: Triple = (1, 1, 1)
    pad_low: Triple = (0, 0, 0)
    pad_high: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"
    padding_from: tuple[str, Any] | None = field(default=None, compare=False)

    kernel: ClassVar[str] = "conv"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the output's wire: ``floor((L + lo + hi - d·(k-1) - 1)/s) + 1`` along each axis."""
        (wire,) = inputs
        if wire.channels != self.in_channels:
            raise ShapeError(f"input of {wire.channels} channels, expected in_channels = {self.in_channels}")
        d, h, w = (self._length(axis, wire.shape[axis]) for axis in range(3))
        check_size((d, h, w), self.out_channels)
        offset = tuple(
            d * (k - 1) / 2 - p for d, k, p in zip(self.dilation, self.kernel_size, self.pad_low, strict=True)
        )
        step = VoxelMap(tuple(map(float, self.stride)), offset)  # type: ignore[arg-type]
        return wire.derived((d, h, w), self.out_channels, step)

    def _length(self, axis: int, length: int) -> int:
        low, high = self.pad_low[axis], self.pad_high[axis]
        k, s, d = self.kernel_size[axis], self.stride[axis], self.dilation[axis]
        check_padding_limit(axis, length, low, high, self.padding_mode)
        out = forward_length(length, low, high, k, s, d)
        if out < 1 or length < 1:
            raise ShapeError(
                f"kernel of {d * (k - 1) + 1} voxels along {AXIS_NAMES[axis]} (kernel_size {k}, dilation {d}) on a "
                f"padded size of {length + low + high}, expected a kernel that fits"
            )
        return out

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return ``[a·s - p, (b-1)·s - p + d·(k-1) + 1)``."""
        s, p = self.stride[axis], self.pad_low[axis]
        start = out[0] * s - p
        if out[1] <= out[0]:
            return (start, start)
        return (start, (out[1] - 1) * s - p + self.dilation[axis] * (self.kernel_size[axis] - 1) + 1)

    def macs(self, voxels: int) -> int:
        """Return products of `voxels` outputs of every channel."""
        return voxels * self.out_channels * (self.in_channels // self.groups) * prod(self.kernel_size)

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return weight (O, I/G, kd, kh, kw) and, if wanted, bias (O,)."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        }
        if self.bias:
            shapes["bias"] = (self.out_channels,)
        return shapes

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults."""
        out: dict[str, Any] = {"kernel_size": self.kernel_size}
        if self.stride != (1, 1, 1):
            out["stride"] = self.stride
        if self.padding_from is not None:
            out[self.padding_from[0]] = self.padding_from[1]
        elif any(self.pad_low) or any(self.pad_high):
            out["padding"] = self.pad_low if self.pad_low == self.pad_high else (self.pad_low, self.pad_high)
            if self.padding_mode != "zeros":
                out["padding_mode"] = self.padding_mode
        if self.dilation != (1, 1, 1):
            out["dilation"] = self.dilation
        if self.groups != 1:
            out["groups"] = self.groups
        if not self.bias:
            out["bias"] = False
        return out

"""What pooling operators share: windows that slide over each channel, and padding that is never read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import ShapeError
from ..geometry import Triple, VoxelMap
from .base import AXIS_NAMES, Interval, Wire
from .window import check_size


@dataclass(frozen=True)
class Pool:
    """Output p looks at the inputs ``p·stride - pad_low + t·dilation`` of its channel, t below `kernel_size`.

    Those outside the volume are left out, whatever the padding, which sets sizes and places alone.

    Attributes
    ----------
    kernel_size, stride, pad_low, pad_high, dilation : tuple of int
        Along D, H, W.
    ceil_mode : bool
        Whether a last window that reaches beyond the padding counts, if it starts in the volume or before it.
    padding_from : (str, value) or None
        What padding was worked out from for an input of known size: for display alone.
    """

    kernel_size: Triple
    stride: Triple
    pad_low: Triple = (0, 0, 0)
    pad_high: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)
    ceil_mode: bool = False
    padding_from: tuple[str, Any] | None = field(default=None, compare=False)

    kernel: ClassVar[str]
    padding_mode: ClassVar[None] = None

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the output's wire; output voxel p sits in the middle of its window, as a convolution's does."""
        (wire,) = inputs
        d, h, w = (self._length(axis, wire.shape[axis]) for axis in range(3))
        check_size((d, h, w), wire.channels)
        offset = tuple(
            d * (k - 1) / 2 - p for d, k, p in zip(self.dilation, self.kernel_size, self.pad_low, strict=True)
        )
        step = VoxelMap(tuple(map(float, self.stride)), offset)  # type: ignore[arg-type]
        return wire.derived((d, h, w), wire.channels, step)

    def _length(self, axis: int, length: int) -> int:
        k, s, d = self.kernel_size[axis], self.stride[axis], self.dilation[axis]
        low, high = self.pad_low[axis], self.pad_high[axis]
        out = pooled_length(length, low, high, k, s, d, ceil_mode=self.ceil_mode)
        if out < 1 or length < 1:
            raise ShapeError(
                f"window of {d * (k - 1) + 1} voxels along {AXIS_NAMES[axis]} (kernel_size {k}, dilation {d}) on a "
                f"padded size of {length + low + high}, expected a window that fits"
            )
        return out

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return ``[a·s - p, (b-1)·s - p + d·(k-1) + 1)``."""
        s, p = self.stride[axis], self.pad_low[axis]
        start = out[0] * s - p
        if out[1] <= out[0]:
            return (start, start)
        return (start, (out[1] - 1) * s - p + self.dilation[axis] * (self.kernel_size[axis] - 1) + 1)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: no products are summed."""
        return 0

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return no weights."""
        return {}

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults."""
        out: dict[str, Any] = {"kernel_size": self.kernel_size}
        if self.stride != self.kernel_size:
            out["stride"] = self.stride
        if self.padding_from is not None:
            out[self.padding_from[0]] = self.padding_from[1]
        elif any(self.pad_low) or any(self.pad_high):
            out["padding"] = self.pad_low if self.pad_low == self.pad_high else (self.pad_low, self.pad_high)
        if self.dilation != (1, 1, 1):
            out["dilation"] = self.dilation
        if self.ceil_mode:
            out["ceil_mode"] = True
        return out


def pooled_length(length: int, low: int, high: int, kernel: int, stride: int, dilation: int, *, ceil_mode: bool) -> int:
    """Return ``floor((L + lo + hi - d·(k-1) - 1)/s) + 1``, by `ceil_mode` rounded up, less a window that starts late.

    That is one which starts beyond the volume, in the padding behind it. As ``pooling_output_shape`` of ATen's
    ``native/Pool.h``.
    """
    span = length + low + high - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return span // stride + 1
    out = -(-span // stride) + 1
    return out - 1 if (out - 1) * stride >= length + low else out

"""Voxels and channels added around a volume, or taken off it, as a stage of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from ..geometry import VoxelMap
from .base import Interval, Wire
from .slice import AXES, Four
from .window import check_padding_limit, check_size

PAD_MODES = ("constant", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Pad:
    """``y[p] = x[p - low]``, and beyond the domain of `x` what `mode` puts there, as ``torch.nn.functional.pad``.

    Attributes
    ----------
    low, high : four ints
        Places added before and after along channels, D, H, W; taken off where negative.
    mode : {"constant", "reflect", "replicate", "circular"}
        Channels are added by ``constant`` alone.
    value : float
        The constant.
    """

    low: Four
    high: Four
    mode: str = "constant"
    value: float = 0.0

    kernel: ClassVar[str] = "pad"

    @property
    def padding_mode(self) -> str:
        """How places outside the domain are made; those of a constant are not read."""
        return "zeros" if self.mode == "constant" else self.mode

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the input's grid, wider by `low` and `high`."""
        (wire,) = inputs
        c, d, h, w = (self._length(axis, n) for axis, n in enumerate((wire.channels, *wire.shape)))
        check_size((d, h, w), c)
        offset = tuple(-float(low) if low else 0.0 for low in self.low[1:])
        return wire.derived((d, h, w), c, VoxelMap(offset=offset))  # type: ignore[arg-type]

    def _length(self, axis: int, length: int) -> int:
        low, high = self.low[axis], self.high[axis]
        if axis > 0:
            check_padding_limit(axis - 1, length, low, high, self.mode)
        elif self.mode != "constant" and (low or high):
            raise ShapeError(f"{self.mode} padding of channels, expected constant")
        out = length + low + high
        if out < 1 or -min(low, high) > length:
            raise ShapeError(
                f"padding of {low} and {high} along {AXES[axis]} on a size of {length}, expected no more "
                "taken off than there is"
            )
        return out

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return `out` moved by `low`."""
        return (out[0] - self.low[1 + axis], out[1] - self.low[1 + axis])

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: nothing is computed."""
        return 0

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return no weights."""
        return {}

    def describe(self) -> Mapping[str, Any]:
        """Return what is added along channels, D, H, W, and how."""
        out: dict[str, Any] = {"padding": self.low if self.low == self.high else (self.low, self.high)}
        if self.mode != "constant":
            out["mode"] = self.mode
        elif self.value:
            out["value"] = self.value
        return out

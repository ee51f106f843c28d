"""Sums, differences, products and quotients of stages, voxel by voxel; one may be spread over the other's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ShapeError
from .base import Interval, Local, Wire
from .merge import merge_wires

SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
"""The kinds, and how each is written between two numbers."""

Spread = tuple[bool, bool, bool, bool]
_NAMES = ("channels", "D", "H", "W")


@dataclass(frozen=True)
class Arithmetic(Local):
    """``y = ((x1 ∘ x2) ∘ x3) ∘ …`` in the order of the inputs, each step rounded once; or ``y = x ∘ value``.

    An input of one channel stands for every channel, and one of length 1 along an axis for every place along it, as
    torch and NumPy broadcast. Division by zero is IEEE's; of two NaN the left one is the result.

    Attributes
    ----------
    kind : {"add", "sub", "mul", "div"}
    spread : tuple of four bools an input
        Whether it is repeated over channels, D, H, W; empty where no input is.
    value : tuple of float
        The right operand where there is one input: one number, or one a channel; else empty.
    """

    kind: str
    spread: tuple[Spread, ...] = ()
    value: tuple[float, ...] = ()

    kernel: ClassVar[str] = "arithmetic"

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the grid of the inputs that are not spread, with the channels of those."""
        if self.value:
            return self._one_input(inputs)
        if len(inputs) < 2:
            raise ShapeError(f"{len(inputs)} inputs, expected at least 2")
        channels = [wire.channels for wire in inputs]
        if len(set(channels) - {1}) > 1:
            raise ShapeError(f"inputs of {', '.join(map(str, channels))} channels, expected as many in each, or 1")
        merged = merge_wires(inputs, broadcast=True)
        found = find_spread(inputs)
        if found != self.spread:
            raise ShapeError(f"inputs spread over {describe_spread(found)}, expected {describe_spread(self.spread)}")
        return merged.derived(merged.shape, max(channels))

    def _one_input(self, inputs: tuple[Wire, ...]) -> Wire:
        if len(inputs) != 1:
            raise ShapeError(f"{len(inputs)} inputs beside a value, expected 1")
        if len(self.value) not in (1, inputs[0].channels):
            raise ShapeError(
                f"value of {len(self.value)} numbers on {inputs[0].channels} channels, expected 1 or one each"
            )
        return inputs[0]

    def in_interval_of(self, index: int, axis: int, out: Interval) -> Interval:
        """Return the one place of an input that is spread along `axis`, else `out`."""
        if self.spread and self.spread[index][1 + axis]:
            return (0, 1) if out[1] > out[0] else (0, 0)
        return out

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory, not by arithmetic."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """Return the value."""
        if not self.value:
            return {}
        return {"value": self.value[0] if len(self.value) == 1 else self.value}


def find_spread(inputs: Sequence[Wire]) -> tuple[Spread, ...]:
    """Return for each of `inputs` whether it is repeated over channels, D, H, W; nothing where none is."""
    sizes = [(wire.channels, *wire.shape) for wire in inputs]
    full = [max(along) for along in zip(*sizes, strict=True)]
    spread = tuple((c < full[0], d < full[1], h < full[2], w < full[3]) for c, d, h, w in sizes)
    return spread if any(map(any, spread)) else ()


def describe_spread(spread: Sequence[Spread]) -> str:
    """Return along which axes each input is repeated, in words."""
    parts = [" and ".join(name for name, is_spread in zip(_NAMES, of, strict=True) if is_spread) for of in spread]
    return ", ".join(part or "nothing" for part in parts) or "nothing"

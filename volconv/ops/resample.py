"""Another number of voxels along each axis: values by the nearest voxel, or linearly between the two around a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from ..geometry import Floats3, Triple, VoxelMap
from .base import AXIS_NAMES, Interval, Wire
from .window import check_size

Rule = Literal["linear", "floor", "ceil", "round_down", "round_up", "single_floor", "single_round"]
"""How a voxel is chosen. ``linear`` takes two; ``round_down`` and ``round_up`` take the nearest, of two that are as
near the lower or the upper; the ``single`` ones work in float32, as torch does."""

_LARGEST = 2**62


@dataclass(frozen=True)
class Line:
    """One axis: output i of `count` lies at the place ``(slope·i + start)/divisor`` of an input of `length` voxels.

    Numbers are ints wherever the place is a fraction of such, so that it is exact, else floats over a `divisor` of 1.
    """

    length: int
    count: int
    slope: int | float
    start: int | float
    divisor: int = 1

    @property
    def scale(self) -> float:
        """Input voxels from one output to the next."""
        return self.slope / self.divisor


class Sources(NamedTuple):
    """What outputs along one axis are made of: voxel `low`, and `share` of voxel `high` in its stead.

    Where `share` is 0, `high` is `low`.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float64]


@dataclass(frozen=True)
class Resample:
    """``y[c, p] = x[c, place of p]``, axis by axis as `lines` and `rule` say; places beyond the ends stand at the ends.

    Attributes
    ----------
    lines : three Line
        Along D, H, W, for an input of their lengths alone.
    rule : str
    shown : tuple of (str, value)
        Parameters as the user wrote them, for display alone.
    """

    lines: tuple[Line, Line, Line]
    rule: Rule
    shown: tuple[tuple[str, Any], ...] = field(default=(), compare=False)

    kernel: ClassVar[str] = "resample"
    padding_mode: ClassVar[None] = None

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the output's wire."""
        (wire,) = inputs
        for axis, line in enumerate(self.lines):
            if wire.shape[axis] != line.length:
                raise ShapeError(f"{wire.shape[axis]} voxels along {AXIS_NAMES[axis]}, expected {line.length}")
            if line.count < 1 or line.length < 1:
                raise ShapeError(
                    f"output of {line.count} voxels along {AXIS_NAMES[axis]} from an input of {line.length}, "
                    "expected at least 1"
                )
        shape: Triple = (self.lines[0].count, self.lines[1].count, self.lines[2].count)
        check_size(shape, wire.channels)
        places = [place_of(line, self.rule) for line in self.lines]
        scale: Floats3 = (places[0][0], places[1][0], places[2][0])
        offset: Floats3 = (places[0][1], places[1][1], places[2][1])
        return wire.derived(shape, wire.channels, VoxelMap(scale, offset))

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return the voxels from the first output's low one to the last output's high one."""
        return _interval(self.lines[axis], self.rule, *out)

    def macs(self, voxels: int) -> int:  # noqa: ARG002
        """Return 0: bound by memory, not by arithmetic."""
        return 0

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return no weights."""
        return {}

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters as written."""
        return dict(self.shown)


@lru_cache(maxsize=4096)  # a planner asks for the same few again and again
def _interval(line: Line, rule: Rule, start: int, stop: int) -> Interval:
    found = list_sources(line, rule, np.array([start, max(start, stop - 1)]))
    return (int(found.low[0]), int(found.high[1]) + 1 if stop > start else int(found.low[0]))


def list_sources(line: Line, rule: Rule, index: NDArray[np.int64]) -> Sources:
    """Return what the outputs `index` (int64) along `line` are made of by `rule`; worked out for each by itself.

    ``single_floor`` and ``single_round`` are ATen's ``native/UpSample.h`` in float32, on processors with fused
    multiply-add, whatever the volume's type.
    """
    if rule == "linear":
        return _between(line, index)
    if rule.startswith("single"):
        at = index.astype(np.float32)
        scale = np.float32(line.scale)
        if rule == "single_floor":
            place = np.floor(at * scale)
        else:  # the product of two float32 is exact in float64
            middle = (at + np.float32(0.5)).astype(np.float64) * np.float64(scale) - 0.5
            place = np.floor(np.maximum(middle.astype(np.float32), np.float32(0)) + np.float32(0.5))
        chosen = place.astype(np.int64)
    else:
        chosen = _nearest(line, rule, index)
    low = np.clip(chosen, 0, line.length - 1)
    return Sources(low, low, np.zeros(low.shape))


def _between(line: Line, index: NDArray[np.int64]) -> Sources:
    if isinstance(line.slope, int) and isinstance(line.start, int):
        numerator = line.slope * index + line.start
        low = numerator // line.divisor
        share = (numerator - low * line.divisor) / line.divisor
    else:
        place = (line.slope * index + line.start) / line.divisor
        whole = np.floor(place)
        low, share = whole.astype(np.int64), place - whole
    share = np.where((low < 0) | (low >= line.length - 1), 0.0, share)
    low = np.clip(low, 0, line.length - 1)
    return Sources(low, low + (share > 0), share)


def _nearest(line: Line, rule: Rule, index: NDArray[np.int64]) -> NDArray[np.int64]:
    if isinstance(line.slope, int) and isinstance(line.start, int):
        top, bottom = line.slope * index + line.start, line.divisor
        if rule == "floor":
            return np.asarray(top // bottom)
        if rule == "ceil":
            return np.asarray(-(-top // bottom))
        return np.asarray(
            (2 * top + bottom) // (2 * bottom) if rule == "round_up" else -((bottom - 2 * top) // (2 * bottom))
        )
    place = (line.slope * index + line.start) / line.divisor
    if rule in ("floor", "ceil"):
        return np.asarray(np.floor(place) if rule == "floor" else np.ceil(place)).astype(np.int64)
    return np.asarray(np.floor(place + 0.5) if rule == "round_up" else np.ceil(place - 0.5)).astype(np.int64)


def place_of(line: Line, rule: Rule) -> tuple[float, float]:
    """Return scale and offset of the map from output to input voxels, along one axis.

    An output of the nearest voxel below its place lies, on average over a voxel's copies, half a voxel less half a copy
    lower. Where all outputs are one voxel, or there is but one, they share its extent.
    """
    scale, start = line.scale, line.start / line.divisor
    if scale == 0:
        scale = line.length / line.count
        return scale, start if line.count == 1 else (scale - 1) / 2
    shift = {"floor": (scale - 1) / 2, "ceil": (1 - scale) / 2}.get(rule.removeprefix("single_"), 0.0)
    return scale, start + shift


def unchanged(length: int) -> Line:
    """Return the axis that stays as it is."""
    return Line(length, length, 1, 0)


def half_pixel(length: int, count: int, factor: float | None = None) -> Line:
    """Return ``(i + ½)·scale - ½``: voxels as boxes that fill the same extent.

    Parameters
    ----------
    length, count : int
        Of input and output.
    factor : float, optional
        One over the scale, which is ``length/count`` where it is left out.
    """
    if factor is None:
        return _checked(Line(length, count, 2 * length, length - count, 2 * count))
    top, bottom = factor.as_integer_ratio()
    return _checked(Line(length, count, 2 * bottom, bottom - top, 2 * top))


def from_origin(length: int, count: int, factor: float | None = None) -> Line:
    """Return ``i·scale``; `factor` as for `half_pixel`."""
    if factor is None:
        return _checked(Line(length, count, length, 0, count))
    top, bottom = factor.as_integer_ratio()
    return _checked(Line(length, count, bottom, 0, top))


def corner_to_corner(length: int, count: int) -> Line:
    """Return ``i·(length - 1)/(count - 1)``: the centres of the first and the last voxels coincide."""
    return _checked(Line(length, count, length - 1, 0, count - 1) if count > 1 else Line(length, count, 0, 0))


def _checked(line: Line) -> Line:
    """Return `line`, in floats if its ints would grow too large to multiply."""
    largest = 4 * max(abs(line.slope) * line.count + abs(line.start), line.divisor)
    if largest < _LARGEST:
        return line
    return Line(line.length, line.count, line.slope / line.divisor, line.start / line.divisor)

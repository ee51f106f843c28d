"""What an operator is: frozen parameters and the rules that follow from them. No arrays of voxels, no files.

The contract, enforced by `volconv.testing.op_contract`:

- ``out_wire`` holds every check on shapes; what it accepts can be computed.
- ``in_interval`` is the backward rule: for outputs ``[a, b)`` of one axis, the inputs ``[a', b')`` they read. It may
  reach outside the input's domain; there the operator's ``padding_mode`` says what is read.
- An operator of several inputs that reads them differently answers for each by ``in_interval_of(index, axis, out)``
  beside it; `read_interval` asks whichever there is.
- Computing any part of the output from its interval gives the same bits as computing the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..geometry import IDENTITY, Floats3, Triple, VoxelMap

Array = NDArray[Any]
Interval = tuple[int, int]
AXIS_NAMES = ("D", "H", "W")


@dataclass(frozen=True)
class Wire:
    """What flows from one stage to the next.

    Attributes
    ----------
    shape : tuple of int
        D, H, W of the whole volume at this point.
    channels : int
    dtype : str
        Compute type.
    voxel_map : VoxelMap
        From this grid to the input volume's.
    spacing_mm : tuple of float or None
        Of this grid along D, H, W; None where the scan does not say.
    moves : int
        Stages between the input volume and here whose grid is not that of what they read.
    """

    shape: Triple
    channels: int
    dtype: str = "float32"
    voxel_map: VoxelMap = IDENTITY
    spacing_mm: Floats3 | None = None
    moves: int = 0

    def derived(self, shape: Triple, channels: int, step: VoxelMap | None = None) -> Wire:
        """Return the wire behind an operator that maps its output voxels to this grid by `step`."""
        if step is None or step.is_identity:
            return Wire(shape, channels, self.dtype, self.voxel_map, self.spacing_mm, self.moves)
        spacing = self.spacing_mm
        if spacing is not None:
            d, h, w = (s * m for s, m in zip(spacing, map(abs, step.scale), strict=True))
            spacing = (d, h, w)
        return Wire(shape, channels, self.dtype, step.after(self.voxel_map), spacing, self.moves + 1)


class Op(Protocol):
    """One operator with all its parameters."""

    kernel: ClassVar[str]
    """Which family of kernels computes it: conv, conv_transpose, pointwise, add, arithmetic, concat, copy, layer_norm,
    pad, slice, vector_norm."""

    @property
    def padding_mode(self) -> str | None:
        """How inputs outside the domain are made: zeros, reflect, replicate, circular; None if never read."""

    def out_wire(self, inputs: tuple[Wire, ...]) -> Wire:
        """Return the output's wire, or raise `ShapeError`."""

    def in_interval(self, axis: int, out: Interval) -> Interval:
        """Return the inputs that outputs `out` of `axis` read, before clipping to the domain."""

    def macs(self, voxels: int) -> int:
        """Return the multiply-adds for `voxels` output voxels."""

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the canonical shape of each weight it wants, by torch state-dict name."""

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults, for display."""


class Local:
    """Rules of operators that look at one voxel at a time."""

    padding_mode: str | None = None

    def in_interval(self, axis: int, out: Interval) -> Interval:  # noqa: ARG002
        """Return `out`: a voxel depends on itself alone."""
        return out

    def tensor_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return no weights."""
        return {}


def read_interval(op: Op, index: int, axis: int, out: Interval) -> Interval:
    """Return the voxels of input number `index` that outputs `out` of `axis` read, before clipping to its domain."""
    of_input = getattr(op, "in_interval_of", None)
    interval: Interval = op.in_interval(axis, out) if of_input is None else of_input(index, axis, out)
    return interval


def source_index(index: Array, length: int, mode: str) -> Array:
    """Return which voxel of a domain of `length` stands at each `index`, by `mode` (not zeros).

    reflect mirrors without repeating the edge, replicate clamps, circular wraps, as ``torch.nn.functional.pad`` does.
    """
    if mode == "replicate":
        return np.clip(index, 0, length - 1)
    if mode == "circular":
        return np.mod(index, length)
    period = max(1, 2 * (length - 1))
    folded = np.mod(index, period)
    return np.where(folded >= length, period - folded, folded)


def inside(interval: Interval, length: int, mode: str | None) -> Interval:
    """Return the part of the domain ``[0, length)`` from which `interval` can be made by `mode`."""
    a, b = interval
    if b <= a:
        return (min(max(a, 0), length),) * 2
    if a >= 0 and b <= length:
        return interval
    if mode in (None, "zeros"):
        low = min(max(a, 0), length)
        return (low, max(low, min(b, length)))
    index = source_index(np.arange(a, b), length, str(mode))
    return (int(index.min()), int(index.max()) + 1)

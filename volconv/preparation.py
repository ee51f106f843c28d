"""What is done to a volume before the first stage and to results after the last: data that specs and readers share."""

from __future__ import annotations

from dataclasses import dataclass

from .geometry import Floats3

ORDERS = (0, 1, 2, 3, 4, 5)
"""Spline orders of resampling: 0 nearest, 1 linear, 3 cubic."""


@dataclass(frozen=True)
class ZScore:
    """(x - mean) / sd over voxels above `above`, over all where it is None; population sd; applied everywhere."""

    above: float | None = None


@dataclass(frozen=True)
class MinMax:
    """The smallest value becomes `low`, the largest `high`."""

    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Percentile:
    """clip((x - q_low) / (q_high - q_low + eps), 0, 1); quantiles in percent, by linear interpolation."""

    low: float
    high: float
    eps: float = 0.0


@dataclass(frozen=True)
class Window:
    """clip((x - low) / (high - low), 0, 1)."""

    low: float
    high: float


@dataclass(frozen=True)
class Rescale:
    """x * scale + shift (spec key ``affine``)."""

    scale: float = 1.0
    shift: float = 0.0


IntensityStep = ZScore | MinMax | Percentile | Window | Rescale


@dataclass(frozen=True)
class Preparation:
    """Everything outside the stages, in the order it is applied.

    Attributes
    ----------
    orientation : str or None
        Axis codes that file axes i, j, k get, as nibabel writes them (``RAS``).
    spacing_mm : three floats or None
        D, H, W after `orientation`.
    order : int
        One of `ORDERS`: of resampling to `spacing_mm`, and of features on their way back.
    intensity : tuple of steps
    pad_multiple : int
        Axes are filled up with zeros at the high end to multiples of it.
    returns : bool
        Whether results are brought back to the scan's own grid.
    """

    orientation: str | None = None
    spacing_mm: Floats3 | None = None
    order: int = 1
    intensity: tuple[IntensityStep, ...] = ()
    pad_multiple: int = 1
    returns: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether volumes and results stay as they are."""
        return self == Preparation(order=self.order)

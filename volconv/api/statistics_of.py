"""Figures of a volume's values, gathered window by window in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.base import Source
from .streaming import WINDOW_BYTES, windows


class Figures:
    """Count, minimum, maximum, mean and spread of finite values, and how many were not finite.

    Means and squared deviations of windows are merged pairwise (Chan, Golub and LeVeque 1983), which loses nothing to
    large means.
    """

    def __init__(self) -> None:
        self.count = 0
        self.nan = 0
        self.infinite = 0
        self.minimum = math.inf
        self.maximum = -math.inf
        self.mean = 0.0
        self.squares = 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Take in the values of a window."""
        finite = values[np.isfinite(values)]
        nan = int(np.count_nonzero(np.isnan(values)))
        self.nan += nan
        self.infinite += values.size - finite.size - nan
        if finite.size:
            other = Figures()
            other.count = finite.size
            other.minimum, other.maximum = float(finite.min()), float(finite.max())
            with np.errstate(over="ignore", invalid="ignore"):
                other.mean = float(finite.mean())
                other.squares = float(np.square(finite - other.mean).sum())
            self.merge(other)

    def merge(self, other: Figures) -> None:
        """Take in the figures of other values; their NaN and infinities too."""
        self.nan += other.nan
        self.infinite += other.infinite
        if not other.count:
            return
        both = self.count + other.count
        apart = other.mean - self.mean
        self.mean += apart * (other.count / both)
        self.squares += other.squares + apart * apart * (self.count * other.count / both)
        self.count = both
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def to_json(self) -> dict[str, Any]:
        """Return ``min max mean sd nan inf``; figures that are no finite number are None. sd is the population's."""
        sd = math.sqrt(self.squares / self.count) if self.count else math.nan
        figures = {"min": self.minimum, "max": self.maximum, "mean": self.mean if self.count else math.nan, "sd": sd}
        shown: dict[str, Any] = {key: value if math.isfinite(value) else None for key, value in figures.items()}
        return shown | {"nan": self.nan, "inf": self.infinite}


def gather(source: Source) -> list[Figures]:
    """Return the figures of each channel of `source`, which is loaded, over all its volumes."""
    out = [Figures() for _ in range(source.info.channels)]
    for batch, region in windows(source.info, 8, WINDOW_BYTES // 8):
        values = np.empty((source.info.channels, *region.shape), np.float64)
        source.read(region, values, batch)
        for figures, channel in zip(out, values, strict=True):
            figures.add(channel)
    return out


def merge_all(parts: list[Figures]) -> Figures:
    """Return the figures of all channels together."""
    out = Figures()
    for part in parts:
        out.merge(part)
    return out

"""Whether two volumes are the same, and by how much they are not: values and geometry, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..formats.base import Source
from ..formats.open import open_source
from ..region import Region
from .streaming import WINDOW_BYTES, full_shape, load_in_memory, windows

AFFINE_TOLERANCE_MM = 1e-4
"""How far corresponding voxels may lie apart in volumes that count as the same."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    same : bool
        Shapes equal, affines within 1e-4 mm, every value within tolerance.
    max_abs, mean_abs : float or None
        Of ``|a - b|`` over the values that are a number on both sides (equal infinities differ by 0; the mean leaves
        infinite differences out); None where the shapes differ.
    max_at : tuple of int or None
        N, C, D, H, W of the first value with the largest difference.
    beyond : int or None
        Values beyond tolerance: ``not |a - b| <= atol + rtol*|b|``, NaN on one side alone included.
    nan_mismatches : int or None
        Values that are NaN on one side alone.
    shape_a, shape_b : tuple of int
        N, C, D, H, W.
    dtype_a, dtype_b : str
        Of the values as stored.
    affine_distance_mm : float
        Between the farthest-off pair of corresponding corners; infinite where one side is unknown or shapes differ.
    """

    same: bool
    max_abs: float | None
    mean_abs: float | None
    max_at: tuple[int, ...] | None
    beyond: int | None
    nan_mismatches: int | None
    shape_a: tuple[int, ...]
    shape_b: tuple[int, ...]
    dtype_a: str
    dtype_b: str
    affine_distance_mm: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON holds them; infinity, which JSON lacks, as the text ``inf``."""
        out: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, float) and math.isinf(value):
                value = "inf"
            out[item.name] = list(value) if isinstance(value, tuple) else value
        return out


def compare(a: str | Path, b: str | Path, *, atol: float = 0.0, rtol: float = 0.0) -> Comparison:
    """Compare the volumes `a` and `b` in any formats; NaN equals NaN.

    Parameters
    ----------
    a, b : str or Path
    atol, rtol : float
        Values are the same where ``|a - b| <= atol + rtol*|b|``.

    Raises
    ------
    UsageError
        A tolerance is negative or no number, or a name says no format.
    MissingFileError, FormatError
        A file cannot be opened, or is damaged.
    BudgetError
        The decompressed volumes do not fit the memory this process may use.
    """
    for name, value in (("atol", atol), ("rtol", rtol)):
        if not 0 <= value < math.inf:
            raise UsageError(f"found {name} {value}, expected a number from 0")
    first = open_source(a, channels=None)
    try:
        second = open_source(b, channels=None)
        try:
            return _compare(first, second, atol, rtol)
        finally:
            second.close()
    finally:
        first.close()


def _compare(a: Source, b: Source, atol: float, rtol: float) -> Comparison:
    shapes = full_shape(a.info), full_shape(b.info)
    alike = shapes[0] == shapes[1]
    distance = a.info.geometry.distance_mm(b.info.geometry) if alike else math.inf
    found = _Differences(atol, rtol)
    if alike:
        load_in_memory([a, b])
        for batch, region in windows(a.info, 8, WINDOW_BYTES // 4):
            found.add(_read(a, region, batch), _read(b, region, batch), (batch, 0, *region.start))
    return Comparison(
        same=alike and distance <= AFFINE_TOLERANCE_MM and not found.beyond,
        max_abs=found.max_abs if alike else None,
        mean_abs=found.total / found.count if alike and found.count else None,
        max_at=found.max_at if alike else None,
        beyond=found.beyond if alike else None,
        nan_mismatches=found.nan_mismatches if alike else None,
        shape_a=shapes[0],
        shape_b=shapes[1],
        dtype_a=a.info.dtype.name,
        dtype_b=b.info.dtype.name,
        affine_distance_mm=distance,
    )


def _read(source: Source, region: Region, batch: int) -> NDArray[Any]:
    """Return a window: integers as stored, since float64 does not hold all of 64 bits, all else as float64."""
    exact = not source.info.is_scaled and source.info.dtype.kind in "iu"
    out = np.empty((source.info.channels, *region.shape), source.info.dtype if exact else np.float64)
    source.read(region, out, batch)
    return out


class _Differences:
    """Running figures over windows."""

    def __init__(self, atol: float, rtol: float) -> None:
        self.atol = atol
        self.rtol = rtol
        self.max_abs = 0.0
        self.max_at: tuple[int, ...] | None = None
        self.total = 0.0
        self.count = 0
        self.beyond = 0
        self.nan_mismatches = 0

    def add(self, a: NDArray[Any], b: NDArray[Any], origin: tuple[int, ...]) -> None:
        """Take in a window of both, (C, d, h, w), whose first value has index `origin` (N, C, D, H, W)."""
        nan_a, nan_b = np.isnan(a), np.isnan(b)
        equal = (a == b) | (nan_a & nan_b)
        one_sided = nan_a ^ nan_b
        self.nan_mismatches += int(np.count_nonzero(one_sided))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
        # Different 64-bit integers may be one float64: they differ by 1 at least.
        apart[~equal & (apart == 0)] = 1.0
        apart[equal] = 0.0
        self.beyond += int(np.count_nonzero(~(equal | self._within(apart, b))))
        apart[one_sided] = 0.0
        finite = np.isfinite(apart)
        self.total += float(apart[finite].sum())
        self.count += int(np.count_nonzero(finite & ~one_sided))
        if apart.max() > self.max_abs:
            self.max_abs = float(apart.max())
            place = np.unravel_index(int(apart.argmax()), apart.shape)
            inside = (0, *(int(p) for p in place))
            self.max_at = tuple(o + i for o, i in zip(origin, inside, strict=True))

    def _within(self, apart: NDArray[np.float64], b: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where the tolerance holds; never for infinite differences, whatever rtol·inf would allow."""
        with np.errstate(invalid="ignore", over="ignore"):
            return (apart <= self.atol + self.rtol * np.abs(b.astype(np.float64))) & np.isfinite(apart)

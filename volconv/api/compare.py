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
        for batch, region in windows(a.info, 8, WINDOW_BYTES // 8, b.info.chunks):
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
    """Return a window as stored (float64 does not hold all 64-bit integers), scaled values as float64."""
    kind = np.dtype(np.float64) if source.info.is_scaled else source.info.dtype
    out = np.empty((source.info.channels, *region.shape), kind)
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
        places = np.flatnonzero(a != b)
        self.count += a.size - places.size
        if not places.size:
            return
        x, y = a.ravel()[places].astype(np.float64), b.ravel()[places].astype(np.float64)
        nan_x, nan_y = np.isnan(x), np.isnan(y)
        both, one_sided = nan_x & nan_y, nan_x ^ nan_y
        self.nan_mismatches += int(np.count_nonzero(one_sided))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(x - y)
            # Different 64-bit integers may be one float64: they differ by 1 at least.
            apart[apart == 0] = 1.0
            # No tolerance covers an infinite difference, whatever rtol·inf would allow.
            within = (apart <= self.atol + self.rtol * np.abs(y)) & np.isfinite(apart)
        self.beyond += int(np.count_nonzero(~(within | both)))
        apart[nan_x | nan_y] = 0.0
        finite = np.isfinite(apart)
        self.total += float(apart.sum(where=finite))
        self.count += int(np.count_nonzero(finite)) - int(np.count_nonzero(one_sided))
        self._keep_largest(apart, places, a.shape, origin)

    def _keep_largest(
        self, apart: NDArray[np.float64], places: NDArray[np.intp], shape: tuple[int, ...], origin: tuple[int, ...]
    ) -> None:
        where = int(apart.argmax())
        if apart[where] > self.max_abs:
            self.max_abs = float(apart[where])
            inside = (0, *(int(index) for index in np.unravel_index(places[where], shape)))
            self.max_at = tuple(o + i for o, i in zip(origin, inside, strict=True))

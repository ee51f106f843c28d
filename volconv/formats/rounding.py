"""From computed values to the numbers a file stores: the one rule for every sink. Knows no format."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_stored(values: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """Return `values` as `dtype`, and how many of them it could not hold.

    Parameters
    ----------
    values : array
        Of any real type and shape.
    dtype : numpy dtype
        Native byte order. Integers are rounded half to even and clipped to the type's range, NaN becomes 0;
        other types are rounded once.

    Returns
    -------
    stored : array
        Of the same shape; `values` itself where the type is already right.
    clipped : int
        Number of values that were out of range or NaN; for floats always 0.
    """
    if values.dtype == dtype:
        return values, 0
    if dtype.kind == "f":
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return values.astype(dtype), 0
    limits = np.iinfo(dtype)
    if values.dtype.kind in "iu":
        return _clip_integers(values, dtype, limits)
    if values.dtype.itemsize < 4:
        values = values.astype(np.float32)  # float16 ends at 65504, below most limits
    # Python compares a float with an integer exactly; neither holds where a value is NaN
    if values.size and limits.min <= float(values.min()) and float(values.max()) <= limits.max:
        return np.rint(values).astype(dtype), 0
    # float64(limits.max) rounds up to 2**63 or 2**64 for 64-bit types: a value equal to it is out of range already.
    rounded = np.rint(values)
    exact_top = int(values.dtype.type(limits.max)) == limits.max
    low = rounded < limits.min
    high = (rounded > limits.max) if exact_top else (rounded >= values.dtype.type(limits.max))
    bad = low | high | np.isnan(rounded)
    count = int(np.count_nonzero(bad))
    if count:
        rounded[bad] = 0
    out = rounded.astype(dtype)
    if count:
        out[low], out[high] = limits.min, limits.max
    return out, count


OVERFLOW_NOTE = "some values are beyond the type they are read as and became infinite"
ROUNDING_NOTE = "some integers are beyond 2^53 and were rounded on the way to floats"


def value_notes(name: str, dtype: np.dtype[Any], clipped: int, not_finite: int) -> list[str]:
    """Return what is to be said of the values written as `dtype` to the output `name`; nothing if all are as wanted."""
    notes = []
    if clipped:
        notes.append(f"{name}: {clipped} values do not fit {dtype} and were clipped")
    if not_finite:
        notes.append(f"{name}: {not_finite} values are NaN or infinite")
    return notes


def exceeds_float64(stored: NDArray[Any], out: np.dtype[Any]) -> bool:
    """Return whether integers of `stored` lose digits that float64 does not have before they become `out`."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize < 8 or out.kind != "f" or not stored.size:
        return False
    return int(stored.max()) > 2**53 or int(stored.min()) < -(2**53)


def count_not_finite(values: NDArray[Any]) -> int:
    """Return how many of `values` are NaN or infinite.

    A sum tells whether there are any, in a tenth of the time of counting; one that overflows is counted for nothing.
    """
    if values.dtype.kind != "f":
        return 0
    with np.errstate(all="ignore"):
        if np.isfinite(values.sum(dtype=np.promote_types(values.dtype, np.float32))):
            return 0
    return values.size - int(np.count_nonzero(np.isfinite(values)))


def _clip_integers(values: NDArray[Any], dtype: np.dtype[Any], limits: np.iinfo[Any]) -> tuple[NDArray[Any], int]:
    """Clip one integer type to another; NumPy compares integers with Python ones exactly, whatever their signs."""
    low, high = values < limits.min, values > limits.max
    count = int(np.count_nonzero(low)) + int(np.count_nonzero(high))
    out = values.astype(dtype)
    if count:
        out[low], out[high] = limits.min, limits.max
    return out, count

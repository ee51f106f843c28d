"""Numeric types: which a spec or a layer may name, in which they are computed, and rounding to half precision.

float16 and bfloat16 are types of storage: every product and sum is float32, and each stage's result is rounded once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HALVES = ("float16", "bfloat16")
FLOATS = ("float32", "float64", *HALVES)
INTEGERS = ("int8", "uint8", "int16", "int32", "int64")


def compute_dtype(dtype: str) -> str:
    """Return the type in which values of `dtype` are computed and kept in memory: float32 for the halves."""
    return "float32" if dtype in HALVES else dtype


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy type called `name`; bfloat16 is that of ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes  # 10 ms that other types need not pay

        out: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return out
    return np.dtype(name)


def round_to(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return `values` rounded to `dtype`, in the type `dtype` is computed in; beyond its range they are infinite."""
    with np.errstate(over="ignore"):
        return values.astype(numpy_dtype(dtype)).astype(compute_dtype(dtype))


def label_dtype(labels: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest unsigned integer type that holds `labels` different labels, from 0 on."""
    for kind in (np.uint8, np.uint16):
        if labels <= np.iinfo(kind).max + 1:
            return np.dtype(kind)
    return np.dtype(np.uint32)

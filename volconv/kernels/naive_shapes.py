"""What the operators on several inputs, on shapes and on channels compute, in float64 and NumPy: oracles for tests.

Volumes are (C, D, H, W), or any number of axes after the channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
}
_PAD_MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def arithmetic(inputs: Sequence[ArrayLike], kind: str) -> Floats:
    """Return ``(x1 ∘ x2) ∘ …`` with ∘ one of add, sub, mul, div, arrays of length 1 along an axis repeated along it."""
    with np.errstate(all="ignore"):
        return np.array(reduce(_OPERATIONS[kind], [np.asarray(x, np.float64) for x in inputs]))


def concat(inputs: Sequence[ArrayLike]) -> Floats:
    """Return the channels of `inputs` one after the other."""
    return np.concatenate([np.asarray(x, np.float64) for x in inputs])


def take(x: ArrayLike, start: Sequence[int], size: Sequence[int], step: Sequence[int]) -> Floats:
    """Return ``x[start + index·step]`` for the indices below `size`, one entry an axis of `x`."""
    axes = (a + s * np.arange(n) for a, n, s in zip(start, size, step, strict=True))
    return np.asarray(x, np.float64)[np.ix_(*axes)]


def pad(x: ArrayLike, low: Sequence[int], high: Sequence[int], mode: str = "constant", value: float = 0.0) -> Floats:
    """Add `low` and `high` places along every axis, channels first; take them off where negative.

    Parameters
    ----------
    x : (C, D, H, W) array
    low, high : sequence of int
        One an axis.
    mode : {"constant", "reflect", "replicate", "circular"}
        What stands there: `value`, the mirror image without the edge, the edge, the opposite side.
    """
    x = np.asarray(x, np.float64)
    for axis, (lo, hi) in enumerate(zip(low, high, strict=True)):
        width = [(0, 0)] * x.ndim
        # what is taken off at one end may stand for what is added at the other
        width[axis] = (max(lo, 0), max(hi, 0))
        kind = {"constant_values": value} if mode == "constant" else {}
        wide = np.pad(x, width, mode=_PAD_MODES.get(mode, "constant"), **kind)
        first = max(-lo, 0)
        x = wide.take(np.arange(first, first + x.shape[axis] + lo + hi), axis)
    return x


def layer_norm(
    x: ArrayLike, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> Floats:
    """Return ``(x - mean)/sqrt(variance + eps)·weight + bias`` over the channels of each voxel; weight, bias (C,)."""
    x = np.asarray(x, np.float64)
    with np.errstate(invalid="ignore"):
        out: Floats = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)
    each = (-1, *[1] * (x.ndim - 1))
    out = out if weight is None else out * np.asarray(weight, np.float64).reshape(each)
    return out if bias is None else out + np.asarray(bias, np.float64).reshape(each)

"""Convolutions of integers, as torch has them: sums wrap silently at the width of the type. Plain NumPy, no tiles."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d

_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Ints = NDArray[Any]


def run_integer(op: Conv3d | ConvTranspose3d, x: Ints, weight: Ints, bias: Ints | None, shape: tuple[int, ...]) -> Ints:
    """Return `op` applied to `x` (C, D, H, W), all arrays of one integer type, as (O, *shape).

    Parameters
    ----------
    weight, bias : arrays
        In canonical layout.
    shape : tuple of int
        D, H, W of the output.
    """
    out = np.zeros((op.out_channels, *shape), x.dtype)
    (_forward if isinstance(op, Conv3d) else _transposed)(op, x, weight, out)
    return out if bias is None else out + bias[:, None, None, None]


def _forward(op: Any, x: Ints, weight: Ints, out: Ints) -> None:
    mode: Any = _PAD_MODES[op.padding_mode]
    x = np.pad(x, ((0, 0), *zip(op.pad_low, op.pad_high, strict=True)), mode=mode)
    for tap in product(*map(range, op.kernel_size)):
        starts = [t * d for t, d in zip(tap, op.dilation, strict=True)]
        ends = [a + (n - 1) * s + 1 for a, n, s in zip(starts, out.shape[1:], op.stride, strict=True)]
        window = x[(slice(None), *(slice(a, b, s) for a, b, s in zip(starts, ends, op.stride, strict=True)))]
        for inputs, outputs in _groups(op):
            out[outputs] += np.einsum("oi,i...->o...", _at(weight, outputs, tap), window[inputs])


def _transposed(op: Any, x: Ints, weight: Ints, out: Ints) -> None:
    full = [
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip(x.shape[1:], op.stride, op.dilation, op.kernel_size, strict=True)
    ]
    reach = [max(f, p + n) for f, p, n in zip(full, op.pad_low, out.shape[1:], strict=True)]
    whole = np.zeros((out.shape[0], *reach), x.dtype)
    for tap in product(*map(range, op.kernel_size)):
        starts = [t * d for t, d in zip(tap, op.dilation, strict=True)]
        ends = [a + (n - 1) * s + 1 for a, n, s in zip(starts, x.shape[1:], op.stride, strict=True)]
        window = (slice(None), *(slice(a, b, s) for a, b, s in zip(starts, ends, op.stride, strict=True)))
        for inputs, outputs in _groups(op):
            whole[window][outputs] += np.einsum("io,i...->o...", _at(weight, inputs, tap), x[inputs])
    crop = tuple(slice(p, p + n) for p, n in zip(op.pad_low, out.shape[1:], strict=True))
    out[...] = whole[(slice(None), *crop)]


def _groups(op: Any) -> list[tuple[slice, slice]]:
    """Return input and output channels of each group."""
    i, o = op.in_channels // op.groups, op.out_channels // op.groups
    return [(slice(g * i, g * i + i), slice(g * o, g * o + o)) for g in range(op.groups)]


def _at(weight: Ints, channels: slice, tap: tuple[int, ...]) -> Ints:
    """Return the matrix of a tap for a group's channels along the weight's first axis."""
    index: Any = (..., *tap)
    part: Ints = weight[channels][index]
    return part

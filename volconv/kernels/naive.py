"""What every operator computes, written for reading: float64 and NumPy, no tiles, no blocks, no compiled code.

These are the oracles the kernels are tested against. Volumes are (C, D, H, W), or any number of axes after the channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def pad(x: ArrayLike, low: Sequence[int], high: Sequence[int], mode: str = "zeros") -> Floats:
    """Widen each axis after the channels by `low` voxels before and `high` after.

    Parameters
    ----------
    x : (C, D, H, W) array
    low, high : sequence of int
        One an axis.
    mode : {"zeros", "reflect", "replicate", "circular"}
        What stands there: 0, the mirror image without the edge, the edge, the opposite side.
    """
    x = np.asarray(x, np.float64)
    kind = _PAD_MODES[mode]
    if kind == "wrap" and any(max(lo, hi) > n for lo, hi, n in zip(low, high, x.shape[1:], strict=True)):
        raise ValueError(f"circular padding {tuple(low)}, {tuple(high)} is wider than the volume {x.shape[1:]}")
    if kind == "reflect" and any(max(lo, hi) >= n > 0 for lo, hi, n in zip(low, high, x.shape[1:], strict=True)):
        raise ValueError(f"reflect padding {tuple(low)}, {tuple(high)} has to be less than the volume {x.shape[1:]}")
    return np.pad(x, [(0, 0), *zip(low, high, strict=True)], mode=kind)  # type: ignore[call-overload, no-any-return]


def conv3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sequence[int] = (1, 1, 1),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
    padding: Sequence[int] = (0, 0, 0),
    padding_high: Sequence[int] | None = None,
    *,
    skip_outside: bool = False,
) -> Floats:
    """Cross-correlate: ``out[o, p] = bias[o] + Σ x[c, p*s + t*d] weight[o, c, t]``, over `x` padded with zeros.

    Parameters
    ----------
    x : (I, D, H, W) array
    weight : (O, I/groups, kd, kh, kw) array
    bias : (O,) array, optional
    stride, dilation, padding : sequence of int
        One an axis.
    groups : int
        Contiguous blocks of channels; block g of the output reads block g of the input.
    padding_high : sequence of int, optional
        Padding at the far ends, where it is not `padding` too.
    skip_outside : bool
        Whether taps in the padding are left out, instead of multiplied by the padding's 0: they differ where a weight
        is infinite or NaN.

    Returns
    -------
    (O, D', H', W') array
    """
    weight = np.asarray(weight, np.float64)
    x = np.asarray(x, np.float64)
    far = padding if padding_high is None else padding_high
    inside = pad(np.ones((1, *x.shape[1:])), padding, far) > 0
    x = pad(x, padding, far)
    spans = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    lengths = [(n - span - 1) // s + 1 for n, span, s in zip(x.shape[1:], spans, stride, strict=True)]
    out = np.zeros((weight.shape[0], *lengths))
    matrices = np.moveaxis(weight, (0, 1), (-2, -1))
    for tap in product(*(range(k) for k in weight.shape[2:])):
        window = _places(tap, lengths, stride, dilation)
        term = _mix(x[window], matrices[tap], groups)
        out += np.where(inside[window], term, 0.0) if skip_outside else term
    return out if bias is None else out + _per_channel(bias, out.ndim)


def conv_transpose3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    output_padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Floats:
    """Spread each input voxel: voxel i, through tap t, adds to output ``i*stride - padding + t*dilation``.

    Parameters
    ----------
    x : (I, D, H, W) array
    weight : (I, O/groups, kd, kh, kw) array
    bias : (O,) array, optional
    stride, padding, output_padding, dilation : sequence of int
        One an axis; `output_padding` widens the far end, which receives what taps land there.
    groups : int
        Contiguous blocks of channels; block g of the output reads block g of the input.

    Returns
    -------
    (O, D', H', W') array
        Of length ``(n - 1)*stride - 2*padding + dilation*(k - 1) + output_padding + 1`` along each axis.
    """
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    taps = weight.shape[2:]
    ends = [d * (k - 1) + 1 for d, k in zip(dilation, taps, strict=True)]
    spread = [(n - 1) * s + e for n, s, e in zip(x.shape[1:], stride, ends, strict=True)]
    kept = [n - 2 * p + more for n, p, more in zip(spread, padding, output_padding, strict=True)]
    # (I, O/G) -> (O, I/G) for each tap, as a forward convolution takes them
    by_group = np.swapaxes(weight.reshape(groups, x.shape[0] // groups, *weight.shape[1:]), 1, 2)
    matrices = np.moveaxis(by_group.reshape(-1, x.shape[0] // groups, *taps), (0, 1), (-2, -1))
    # room for what is cut at the near end and for the output padding at the far end
    full = np.zeros((matrices.shape[-2], *(max(n, p + m) for n, p, m in zip(spread, padding, kept, strict=True))))
    for tap in product(*(range(k) for k in taps)):
        full[_places(tap, x.shape[1:], stride, dilation)] += _mix(x, matrices[tap], groups)
    cut: Any = (slice(None), *(slice(p, p + m) for p, m in zip(padding, kept, strict=True)))
    out: Floats = full[cut]
    return out if bias is None else out + _per_channel(bias, out.ndim)


def affine(x: ArrayLike, scale: ArrayLike, shift: ArrayLike) -> Floats:
    """Return ``x * scale + shift``, scale and shift single numbers or one a channel."""
    x = np.asarray(x, np.float64)
    return x * _per_channel(scale, x.ndim) + _per_channel(shift, x.ndim)


def add(inputs: Sequence[ArrayLike]) -> Floats:
    """Return the sum of `inputs`, arrays of one shape."""
    out = np.array(inputs[0], np.float64)
    for x in inputs[1:]:
        out += np.asarray(x, np.float64)
    return out


def batch_norm(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Floats:
    """Return ``(x - mean)/sqrt(variance + eps)·weight + bias``, each one a channel, weight 1 and bias 0 if None."""
    x = np.asarray(x, np.float64)
    out: Floats = (x - _per_channel(mean, x.ndim)) / np.sqrt(_per_channel(variance, x.ndim) + eps)
    out = out if weight is None else out * _per_channel(weight, x.ndim)
    return out if bias is None else out + _per_channel(bias, x.ndim)


def vector_norm(x: ArrayLike) -> Floats:
    """Return the Euclidean norm over channels, (1, D, H, W)."""
    squares: Floats = np.sum(np.square(np.asarray(x, np.float64)), axis=0, keepdims=True)
    return np.sqrt(squares)


def activation(x: ArrayLike, name: str, parameters: Sequence[float] = (), slope: ArrayLike | None = None) -> Floats:
    """Apply the activation `name` of `catalog.ACTIVATIONS` to every value; `slope` (one a channel) is PReLU's."""
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        if name == "prelu":
            return np.where(x > 0, x, x * _per_channel(0.25 if slope is None else slope, x.ndim))
        return _ACTIVATIONS[name](x, *parameters)


def _places(tap: Sequence[int], lengths: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Any:
    """Return the index of the voxels ``p*stride + tap*dilation``, p = 0 … length-1, of all channels."""
    axes = zip(tap, lengths, stride, dilation, strict=True)
    return (slice(None), *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, n, s, d in axes))


def _mix(x: Floats, weight: Floats, groups: int) -> Floats:
    """Return the channels (O, …) that the matrix `weight` (O, I/G) makes of `x` (I, …), group by group."""
    if groups == 1:  # einsum would not use the linear algebra library, which warns where einsum does not
        with np.errstate(invalid="ignore"):
            return np.tensordot(weight, x, 1)
    blocks = x.reshape(groups, -1, *x.shape[1:])
    rows = weight.reshape(groups, -1, weight.shape[1])
    mixed: Floats = np.einsum("goi,gi...->go...", rows, blocks)
    return mixed.reshape(weight.shape[0], *x.shape[1:])


def _per_channel(values: ArrayLike, ndim: int) -> Floats:
    return np.asarray(values, np.float64).reshape(-1, *[1] * (ndim - 1))


def _normal(x: Floats) -> Floats:
    # erfc, because 1 + erf loses every digit of the lower tail
    return np.asarray(np.vectorize(math.erfc, otypes=[np.float64])(-x / math.sqrt(2)) / 2)


def _sigmoid(x: Floats) -> Floats:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def _softplus(x: Floats, beta: float, threshold: float) -> Floats:
    return np.where(x * beta > threshold, x, np.logaddexp(0.0, x * beta) / beta)


def _elu(x: Floats, alpha: float) -> Floats:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


_ACTIVATIONS: dict[str, Callable[..., Floats]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, x * slope),
    "elu": _elu,
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "gelu": lambda x: x * _normal(x),
    "gelu_tanh": lambda x: x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
    "silu": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": _softplus,
    "hardswish": lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "abs": np.abs,
    "threshold": lambda x, least: (x > least).astype(np.float64),
}

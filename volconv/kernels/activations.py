"""Activations of one value, and whole rows of them: the epilogue every kernel shares.

An activation is chosen by its code, its place in `catalog.ACTIVATIONS`, outside the loop over a row, so one compiled
kernel serves them all and each loop still becomes vector instructions. Infinities, NaN and thresholds follow PyTorch
(gelu, gelu_tanh, silu and hardswish of -inf are NaN, as 0 times infinity is).

Largest errors measured on 600,000 arguments, with FMA, in units in the last place, float32 and float64: elu 0.9 and
1.1, selu 1.7 and 2.7, gelu 6.2 and 6.2, gelu_tanh 3.5 and 3.4, silu 3.1 and 2.9, softplus 2.5 and 2.7, hardswish 1.9
and 1.9; tanh and sigmoid are those of `scalar`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from .catalog import ACTIVATIONS
from .jit import device, inlined
from .scalar import fabs, fma, load, make_elementary, store

CODES = {name: code for code, name in enumerate(ACTIVATIONS)}
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def pack_parameters(name: str, parameters: Sequence[float], dtype: str) -> np.ndarray[Any, Any]:
    """Return the two numbers a kernel takes for activation `name`, unused ones 0."""
    packed = np.zeros(2, dtype)
    packed[: len(ACTIVATIONS[name])] = parameters
    return packed


@cache
def make_activations(real: Any) -> dict[str, Callable[..., Any]]:
    """Return each activation for `real` (numba's float32 or float64): a device function of a value and its parameters.

    The parameters are those of `catalog.ACTIVATIONS`, of type `real`; ``prelu`` takes its channel's slope.
    """
    return {**_make_simple(real), **_make_smooth(real)}


def _make_simple(real: Any) -> dict[str, Callable[..., Any]]:
    number = np.float32 if real.bitwidth == 32 else np.float64
    zero, one, three, six = number(0), number(1), number(3), number(6)

    @inlined
    def identity(v: Any) -> Any:
        return v

    @inlined
    def relu(v: Any) -> Any:
        return zero if v < zero else v

    @inlined
    def leaky_relu(v: Any, slope: Any) -> Any:
        return v if v > zero else v * slope

    @inlined
    def clip(v: Any, low: Any, high: Any) -> Any:
        v = low if v < low else v
        return high if v > high else v

    @inlined
    def hardswish(v: Any) -> Any:
        gate = v + three
        gate = zero if gate < zero else gate
        return v * (six if gate > six else gate) / six

    @inlined
    def threshold(v: Any, least: Any) -> Any:
        return one if v > least else zero

    return {
        "identity": identity,
        "relu": relu,
        "leaky_relu": leaky_relu,
        "prelu": leaky_relu,
        "hardswish": hardswish,
        "clip": clip,
        "abs": fabs,
        "threshold": threshold,
    }


def _make_smooth(real: Any) -> dict[str, Callable[..., Any]]:
    number = np.float32 if real.bitwidth == 32 else np.float64
    zero, selu_scale, selu_low = number(0), number(_SELU_SCALE), number(_SELU_SCALE * _SELU_ALPHA)
    _, exp_low, expm1, log1p, tanh, sigmoid, normal, sigmoid_cubic = make_elementary(real)

    # NaN is returned as it came: where two meet, one of either sign, which of them a product gives is a matter of the
    # order of operands in machine code, so of the width of vectors
    @inlined
    def keep_nan(v: Any, result: Any) -> Any:
        return result if v == v else v

    @inlined
    def elu(v: Any, alpha: Any) -> Any:
        low = alpha * expm1(zero if v > zero else v)
        return keep_nan(v, v if v > zero else low)

    @inlined
    def selu(v: Any) -> Any:
        low = selu_low * expm1(zero if v > zero else v)
        return keep_nan(v, v * selu_scale if v > zero else low)

    @inlined
    def gelu(v: Any) -> Any:
        return keep_nan(v, v * normal(v))

    @inlined
    def gelu_tanh(v: Any) -> Any:
        return keep_nan(v, v * sigmoid_cubic(v))

    @inlined
    def silu(v: Any) -> Any:
        return keep_nan(v, v * sigmoid(v))

    @inlined
    def logistic(v: Any) -> Any:
        return keep_nan(v, sigmoid(v))

    @inlined
    def tangent(v: Any) -> Any:
        return keep_nan(v, tanh(v))

    @inlined
    def softplus(v: Any, beta: Any, threshold: Any) -> Any:
        t = v * beta
        # log(1 + e^t) without overflow
        soft = ((t if t > zero else zero) + log1p(exp_low(t))) / beta
        return keep_nan(v, v if t > threshold else soft)

    return {
        "elu": elu,
        "selu": selu,
        "gelu": gelu,
        "gelu_tanh": gelu_tanh,
        "silu": silu,
        "sigmoid": logistic,
        "tanh": tangent,
        "softplus": softplus,
    }


@cache
def make_finish_row(real: Any, per_lane: bool) -> Callable[..., Any]:
    """Return a device function that finishes a row in place: scale and shift if asked, then the activation.

    ``finish_row(code, affine, out, start, n, tables, c, p, q)`` replaces v = ``out[start + i]``, i = 0 … n-1, by
    ``act(fma(v, scale, shift))``, where ``tables = (scale, shift, slope)`` are flat arrays over channels, and p and q
    are the activation's parameters, all of type `real`.

    Parameters
    ----------
    real : numba type
        float32 or float64.
    per_lane : bool
        Whether element i belongs to channel ``c + i`` (channels innermost) or all to channel c.
    """
    activations = make_activations(real)
    rows = [_make_row(name, activations[name], per_lane) for name in ACTIVATIONS]
    (identity, relu, leaky_relu, prelu, elu, selu, gelu, gelu_tanh) = rows[:8]
    (silu, sigmoid, tanh, softplus, hardswish, clip, absolute, threshold) = rows[8:]

    @inlined
    def finish_row(code: Any, affine: Any, out: Any, start: Any, n: Any, tables: Any, c: Any, p: Any, q: Any) -> None:
        scales, shifts, slopes = tables
        if affine:  # a loop apart: together with each activation's, all would be compiled twice
            scale, shift = load(scales, c), load(shifts, c)
            for i in range(n):
                if per_lane:
                    scale, shift = load(scales, c + i), load(shifts, c + i)
                store(out, start + i, fma(load(out, start + i), scale, shift))
        choose(code, out, start, n, slopes, c, p, q)

    @inlined
    def choose(code: Any, *row: Any) -> None:
        if code == 0:
            identity(*row)
        elif code == 1:
            relu(*row)
        elif code == 2:
            leaky_relu(*row)
        elif code == 3:
            prelu(*row)
        elif code == 4:
            elu(*row)
        elif code == 5:
            selu(*row)
        elif code == 6:
            gelu(*row)
        elif code == 7:
            gelu_tanh(*row)
        elif code == 8:
            silu(*row)
        elif code == 9:
            sigmoid(*row)
        elif code == 10:
            tanh(*row)
        elif code == 11:
            softplus(*row)
        elif code == 12:
            hardswish(*row)
        elif code == 13:
            clip(*row)
        elif code == 14:
            absolute(*row)
        else:
            threshold(*row)

    return finish_row


def _make_row(name: str, activation: Callable[..., Any], per_lane: bool) -> Callable[..., Any]:
    act = _with_all_parameters(name, activation)

    def row(out: Any, start: Any, n: Any, slopes: Any, c: Any, p: Any, q: Any) -> None:
        slope = load(slopes, c)
        for i in range(n):
            if per_lane:
                slope = load(slopes, c + i)
            store(out, start + i, act(load(out, start + i), p, q, slope))

    # Compiled names must tell apart what the row closes over.
    row.__name__ = row.__qualname__ = f"{name}_row_{'lanes' if per_lane else 'even'}"
    return device(row)


def _with_all_parameters(name: str, activation: Callable[..., Any]) -> Callable[..., Any]:
    """Return `activation` as a device function of a value, two parameters and a slope."""

    def with_none(v: Any, _p: Any, _q: Any, _slope: Any) -> Any:
        return activation(v)

    def with_one(v: Any, p: Any, _q: Any, _slope: Any) -> Any:
        return activation(v, p)

    def with_two(v: Any, p: Any, q: Any, _slope: Any) -> Any:
        return activation(v, p, q)

    def with_slope(v: Any, _p: Any, _q: Any, slope: Any) -> Any:
        return activation(v, slope)

    chosen = with_slope if name == "prelu" else (with_none, with_one, with_two)[len(ACTIVATIONS[name])]
    chosen.__name__ = chosen.__qualname__ = f"{name}_with_all_parameters"
    return inlined(chosen)

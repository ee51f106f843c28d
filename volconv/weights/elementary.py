"""Exponential, cosine and sine whose bits are the same on every machine.

NumPy picks other implementations of these functions by what the processor offers, and they differ in the last bit;
taps made with them would differ between the machines of one cluster. Here everything is additions, products,
rounding and powers of two, which IEEE 754 fixes to the bit. Errors stay below two units in the last place.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_LOG2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LOG2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_EXP = [1 / math.factorial(n) for n in range(15)]
_SIN = [(-1) ** n / math.factorial(2 * n + 1) for n in range(10)]
_COS = [(-1) ** n / math.factorial(2 * n) for n in range(10)]


def exp(x: ArrayLike) -> Floats:
    """Return e to the power of `x`, which is at most 0; below -745 it is 0."""
    values = np.maximum(np.asarray(x, np.float64), -800.0)
    halvings = np.rint(values * (1 / math.log(2)))
    rest = (values - halvings * _LOG2_HIGH) - halvings * _LOG2_LOW
    out: Floats = np.ldexp(_polynomial(_EXP, rest), halvings.astype(np.int32))
    return out


def cos_sin_turns(turns: ArrayLike) -> tuple[Floats, Floats]:
    """Return cosine and sine of `turns`, one turn being a whole circle."""
    values = np.asarray(turns, np.float64)
    values = values - np.rint(values)
    quarters = np.rint(4 * values)
    angle = (values - quarters / 4) * (2 * math.pi)
    square = angle * angle
    cos, sin = _polynomial(_COS, square), angle * _polynomial(_SIN, square)
    quarter = quarters.astype(np.int64) % 4
    choices = [cos, -sin, -cos, sin]
    return np.choose(quarter, choices), np.choose((quarter - 1) % 4, choices)


def _polynomial(coefficients: list[float], x: Floats) -> Floats:
    out = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        out = out * x + coefficient
    return out

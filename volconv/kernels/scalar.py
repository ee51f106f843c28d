"""Elementary functions of one value, the same code in every lane: exp, expm1, log1p, tanh, the normal distribution.

libm and vector libraries differ between a loop's vector body and its remainder, and between versions; these are
polynomials of our own (minimax, by Remez exchange), evaluated with explicit fused multiply-adds and without branches,
so LLVM vectorises the loops that call them and every lane gives the bits a scalar call gives. NaN passes through.
Knows nothing of layers.

Largest errors measured on 600,000 arguments, with FMA, in units in the last place, float32 and float64: exp 1.0 and
1.0, expm1 1.5 and 1.8, log1p 2.0 and 1.9, tanh 2.5 and 2.5, sigmoid 2.2 and 2.1, normal 6.2 and 7.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from .catalog import has_fma
from .jit import inlined, intrinsic, types

# expm1(r) = r + r^2 (c0 + c1 r + ...) for |r| <= ln(2)/2
_EXPM1 = {
    32: (0.5000000014, 0.1666666676, 0.04166646454, 0.008333285931, 0.001393369085, 0.00019907638),
    64: (
        *(0.5, 0.16666666666666671, 0.0416666666666666839, 0.00833333333332611092, 0.00138888888888743521),
        *(0.000198412698749046357, 0.00002480158734744942, 2.75572552942252394e-6, 2.7557252806250211e-7),
        *(2.51052609225900623e-8, 2.09216252766153235e-9),
    ),
}
# log1p(u) = 2s + s^3 (c0 + c1 s^2 + ...), s = u / (2 + u), for 0 <= u <= 1
_LOG1P = {
    32: (0.6666666736, 0.3999969625, 0.2859281583, 0.2169993721, 0.2325437138),
    64: (
        *(0.666666666666666581, 0.400000000000152379, 0.285714285669487693, 0.222222227323624308),
        *(0.181817887396235072, 0.153855882864540516, 0.133138644350277895, 0.120035748894098356),
        *(0.0878867695979101627, 0.161882641149298472),
    ),
}
# Phi(-a) = exp(-a^2/2) t (c0 + c1 y + ...), t = 1 / (1 + a * _TAIL_SCALE), y = 1 - 2t, for 0 <= a <= _TAIL_END
_TAIL = {
    32: (
        *(0.1888212838, -0.151974145, 0.09678422907, -0.04663091416, 0.01510087269, -0.001881000603),
        *(-0.0008775532517, 0.0003921011182, 4.36648378e-5, -3.354876836e-5),
    ),
    64: (
        *(0.144819514138436912, -0.127327885661049244, 0.0980643690073803959, -0.06561980730445343),
        *(0.0375915673352144897, -0.0179588133265844955, 0.00679722937381474407, -0.00179501256645339548),
        *(0.000172851533537919979, 0.000100471555389670961, -0.00004919901690033401, 3.05987038949314693e-6),
        *(4.85966822597243169e-6, -1.3808288848793214e-6, -3.77157701988761482e-7, 2.38945121606019933e-7),
        *(2.56011921646147308e-8, -3.67340072183715539e-8, -2.09092577956869037e-9, 5.43729931817112746e-9),
        *(5.33313661085953684e-10, -6.00660277811048031e-10, -1.3948100828491385e-10),
    ),
}
_TAIL_SCALE = {32: 0.25, 64: 0.1875}
_TAIL_END = {32: 15.0, 64: 40.0}
# Arguments beyond these give 0 and infinity (exp), -1 (expm1).
_EXP_LOW, _EXP_HIGH, _EXPM1_LOW = {32: -104.0, 64: -746.0}, {32: 89.0, 64: 710.0}, {32: -18.0, 64: -40.0}
# 1 + exp(-x) and 1 - Phi(-x) are 1 from here on. Cutting large arguments off here spares the slow arithmetic of numbers
# near the smallest one.
_SIGMOID_FULL, _NORMAL_FULL, _CUBIC_FULL = {32: 20.0, 64: 40.0}, {32: 7.0, 64: 9.0}, {32: 6.0, 64: 8.0}
# Adding this rounds to an integer, which then stands in the sum's lowest bits.
_ROUNDER = {32: 1.5 * 2.0**23, 64: 1.5 * 2.0**52}
# ln 2 = high + low, high short enough for n * high to be exact.
_LN2_HIGH = {32: 0.693145751953125, 64: 0.69314718055966295651}
_LN2_LOW = {32: 1.4286068203094172321e-6, 64: 2.8235290563031577123e-13}
_FRACTION_BITS, _EXPONENT_BIAS = {32: 23, 64: 52}, {32: 127, 64: 1023}


def _llvm(name: str, arity: int) -> Any:
    """Return LLVM's function `name` of `arity` equal arguments as an intrinsic."""

    def build(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, name, signature.return_type.bitwidth, args)

    def of_one(_context: Any, a: Any) -> Any:
        return a(a), build

    def of_two(_context: Any, a: Any, _b: Any) -> Any:
        return a(a, a), build

    def of_three(_context: Any, a: Any, _b: Any, _c: Any) -> Any:
        return a(a, a, a), build

    return intrinsic((of_one, of_two, of_three)[arity - 1])


def _call(builder: Any, name: str, bits: int, args: Any) -> Any:
    if name == "fma" and not has_fma():  # two roundings; libm's emulation of one takes a hundred times longer
        return builder.fadd(builder.fmul(args[0], args[1]), args[2])
    kind = ir.FunctionType(args[0].type, [a.type for a in args])
    full_name = f"llvm.{name}.f{bits}"
    function = builder.module.globals.get(full_name) or ir.Function(builder.module, kind, full_name)
    return builder.call(function, args)


fma = _llvm("fma", 3)
copysign = _llvm("copysign", 2)
fabs = _llvm("fabs", 1)
sqrt = _llvm("sqrt", 1)


@intrinsic
def load(_context, array, index):  # type: ignore[no-untyped-def]
    """Return element `index` of a flat array, which is never counted from the end."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]], inbounds=True))

    return array.dtype(array, index), build


@intrinsic
def store(_context, array, index, _value):  # type: ignore[no-untyped-def]
    """Set element `index` of a flat array to `value`."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store(args[2], builder.gep(data, [args[1]], inbounds=True))
        return context.get_dummy_value()

    return types.void(array, index, array.dtype), build


@intrinsic
def power_of_two(_context, rounded):  # type: ignore[no-untyped-def]
    """Return 2^n, where `rounded` is n plus the rounder and 2^n is a normal number."""

    def build(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = signature.return_type.bitwidth
        whole = ir.IntType(bits)
        exponent = builder.shl(builder.bitcast(args[0], whole), whole(_FRACTION_BITS[bits]))
        one = whole(_EXPONENT_BIAS[bits] << _FRACTION_BITS[bits])
        return builder.bitcast(builder.add(exponent, one), args[0].type)

    return rounded(rounded), build


def make_polynomial(coefficients: tuple[float, ...]) -> Any:
    """Return an intrinsic that evaluates c0 + c1 x + c2 x^2 + ... by Horner's rule in fused multiply-adds."""

    def build(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x = args[0]
        total = ir.Constant(x.type, coefficients[-1])
        for c in coefficients[-2::-1]:
            total = _call(builder, "fma", signature.return_type.bitwidth, [total, x, ir.Constant(x.type, c)])
        return total

    return intrinsic(lambda _context, x: (x(x), build))


class Elementary(NamedTuple):
    """The functions of one element type, callable from kernels; `exp_low` is exp(-|x|), exact for x below 20 or 40."""

    exp: Callable[[Any], Any]
    exp_low: Callable[[Any], Any]
    expm1: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    normal: Callable[[Any], Any]
    sigmoid_cubic: Callable[[Any], Any]


@cache
def make_elementary(real: Any) -> Elementary:
    """Return the functions for `real`, numba's float32 or float64."""
    exp, expm1 = _make_exp(real)
    exp_low = _make_exp_low(real, exp)
    return Elementary(
        exp,
        exp_low,
        expm1,
        _make_log1p(real),
        _make_tanh(real, expm1),
        _make_sigmoid(real, exp_low),
        _make_normal(real, exp),
        _make_sigmoid_cubic(real, exp),
    )


def _constants(real: Any) -> tuple[int, Callable[[float], Any]]:
    return real.bitwidth, np.float32 if real.bitwidth == 32 else np.float64


def _make_exp(real: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    bits, number = _constants(real)
    low, high, low_m1 = number(_EXP_LOW[bits]), number(_EXP_HIGH[bits]), number(_EXPM1_LOW[bits])
    log2_e, rounder = number(1 / math.log(2)), number(_ROUNDER[bits])
    ln2_high, ln2_low = number(_LN2_HIGH[bits]), number(_LN2_LOW[bits])
    zero, half, one = number(0), number(0.5), number(1)
    series = make_polynomial(_EXPM1[bits])

    @inlined
    def reduced(x: Any, n: Any) -> Any:
        """expm1(x - n ln 2)"""
        r = fma(-n, ln2_low, fma(-n, ln2_high, x))
        return fma(r * r, series(r), r)

    @inlined
    def exp(x: Any) -> Any:
        none = x < low  # set apart: processors take a hundred cycles to multiply down to nothing
        x = zero if none else x
        x = high if x > high else x
        n = fma(x, log2_e, rounder) - rounder
        # 2^n in two factors: n reaches beyond the exponents of normal numbers
        part = fma(n, half, rounder)
        rest = n - (part - rounder)
        result = (reduced(x, n) + one) * power_of_two(part) * power_of_two(rest + rounder)
        return zero if none else result

    @inlined
    def expm1(x: Any) -> Any:
        x = low_m1 if x < low_m1 else x
        x = high if x > high else x
        rounded = fma(x, log2_e, rounder)
        # half the result, because 2^n overflows before the result does
        scale = power_of_two(rounded - one)
        result = fma(scale, reduced(x, rounded - rounder), scale - half)
        return result + result

    return exp, expm1


def _make_exp_low(real: Any, exp: Any) -> Callable[[Any], Any]:
    bits, number = _constants(real)
    full = number(_SIGMOID_FULL[bits])

    @inlined
    def exp_low(x: Any) -> Any:
        """exp(-|x|), where x above 20 (40 in float64) counts as that: too little to change a sum with 1"""
        return exp(-fabs(full if x > full else x))

    return exp_low


def _make_log1p(real: Any) -> Callable[[Any], Any]:
    bits, number = _constants(real)
    two = number(2)
    series = make_polynomial(_LOG1P[bits])

    @inlined
    def log1p(u: Any) -> Any:
        """log(1 + u) for 0 <= u <= 1"""
        s = u / (two + u)
        z = s * s
        return fma(s * z, series(z), s + s)

    return log1p


def _make_tanh(real: Any, expm1: Any) -> Callable[[Any], Any]:
    _, number = _constants(real)
    two = number(2)

    @inlined
    def tanh(x: Any) -> Any:
        e = expm1(-two * fabs(x))
        return copysign(e / (two + e), x)

    return tanh


def _make_sigmoid(real: Any, exp_low: Any) -> Callable[[Any], Any]:
    _, number = _constants(real)
    one = number(1)

    @inlined
    def sigmoid(x: Any) -> Any:
        e = exp_low(x)
        return (e if x < 0 else one) / (one + e)

    return sigmoid


def _make_normal(real: Any, exp: Any) -> Callable[[Any], Any]:
    bits, number = _constants(real)
    end, scale = number(_TAIL_END[bits]), number(_TAIL_SCALE[bits])
    full, one, two, half = number(_NORMAL_FULL[bits]), number(1), number(2), number(0.5)
    series = make_polynomial(_TAIL[bits])

    @inlined
    def normal(x: Any) -> Any:
        """The standard normal distribution function, accurate in both tails"""
        a = fabs(full if x > full else x)
        a = end if a > end else a
        square = a * a
        rest = fma(a, a, -square)  # what rounding the square lost, and exp would magnify
        e = exp(-half * square)
        t = one / fma(a, scale, one)
        tail = fma(e, -half * rest, e) * (t * series(fma(-two, t, one)))
        return tail if x < 0 else one - tail

    return normal


def _make_sigmoid_cubic(real: Any, exp: Any) -> Callable[[Any], Any]:
    bits, number = _constants(real)
    # 2 sqrt(2/pi) and 0.044715 times that, each in two numbers
    linear, cubic = Fraction("1.59576912160573071175978423974"), Fraction("0.0713548162726002487763727522799")
    a, b, one = number(float(linear)), number(float(cubic)), number(1)
    a_low, b_low = number(float(linear - Fraction(float(a)))), number(float(cubic - Fraction(float(b))))
    end, full = number({32: 12.0, 64: 24.0}[bits]), number(_CUBIC_FULL[bits])

    @inlined
    def sigmoid_cubic(x: Any) -> Any:
        """sigmoid(w), w = 2 sqrt(2/pi) (x + 0.044715 x^3), which is (1 + tanh(w / 2)) / 2"""
        z = fabs(full if x > full else x)
        z = end if z > end else z
        square = z * z
        scaled = b * square
        factor = a + scaled
        w = z * factor
        # What rounding lost on the way to w, and exp would magnify: of the sum (Knuth), the products, the constants.
        added = factor - a
        lost = (a - (factor - added)) + (scaled - added)
        lost = lost + fma(b, square, -scaled) + fma(b, fma(z, z, -square), fma(b_low, square, a_low))
        e = exp(-w)
        e = fma(e, -fma(z, lost, fma(z, factor, -w)), e)
        return (e if x < 0 else one) / (one + e)

    return sigmoid_cubic

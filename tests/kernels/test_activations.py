"""Elementary functions and activations: accuracy, special values, PyTorch's meaning."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from volconv.kernels import naive
from volconv.kernels.activations import CODES, make_activations, pack_parameters
from volconv.kernels.catalog import ACTIVATIONS, Epilogue
from volconv.kernels.pointwise import bind_pointwise
from volconv.kernels.scalar import make_elementary

PARAMETERS = {"leaky_relu": (0.01,), "elu": (1.0,), "softplus": (1.0, 20.0), "clip": (-1.0, 1.0), "threshold": (0.5,)}
# Largest errors in units in the last place, as the modules state them, rounded up.
ULPS = {"exp": 1.0, "expm1": 2.0, "log1p": 2.0, "tanh": 2.6, "sigmoid": 2.3, "normal": 7.2}
ULPS |= {"elu": 1.3, "selu": 3.0, "gelu": 7.0, "gelu_tanh": 4.0, "silu": 3.3, "softplus": 3.0, "hardswish": 2.0}
INF, NAN = math.inf, math.nan


def activate(values, name, slope=0.25):
    values = np.asarray(values)
    slopes = np.full(1, slope, values.dtype) if name == "prelu" else None
    out = np.empty_like(values)
    bound = bind_pointwise(Epilogue(None, None, name, PARAMETERS.get(name, ()), slopes), values.dtype.name)
    bound.run(values, 0, (values.size, 0, 0, 1), out, 0, (values.size, 0, 0, 1), (1, 1, values.size), 1)
    return out


def wide(name, x):
    """The function in the widest arithmetic there is."""
    big = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        sigmoid = np.where(big < 0, np.exp(big) / (1 + np.exp(big)), 1 / (1 + np.exp(-big)))
        low = np.expm1(np.minimum(big, 0))
        scale, alpha = np.longdouble("1.0507009873554804934193"), np.longdouble("1.6732632423543772848170")
        plain = {
            "exp": np.exp(big),
            "expm1": np.expm1(big),
            "log1p": np.log1p(np.maximum(big, -1)),
            "tanh": np.tanh(big),
            "sigmoid": sigmoid,
            "silu": big * sigmoid,
            "elu": np.where(big > 0, big, low),
            "selu": scale * np.where(big > 0, big, alpha * low),
            "softplus": np.where(big > 20, big, np.maximum(big, 0) + np.log1p(np.exp(-np.abs(big)))),
            "hardswish": big * np.clip(big + 3, 0, 6) / 6,
        }
        if name in plain:
            return plain[name]
        if name == "gelu_tanh":
            pi = np.longdouble("3.14159265358979323846264338327950288")
            w = 2 * np.sqrt(2 / pi) * (big + np.longdouble("0.044715") * big**3)
            return big * np.where(w < 0, np.exp(w) / (1 + np.exp(w)), 1 / (1 + np.exp(-w)))
    half_erfc = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.astype(float)], np.longdouble)
    return half_erfc if name == "normal" else big * half_erfc


def error_in_ulps(got, want, dtype):
    unit = np.spacing(np.abs(want).astype(dtype)).astype(np.longdouble)
    return float(np.max(np.abs(got.astype(np.longdouble) - want) / unit))


def arguments(name, dtype):
    rng = np.random.default_rng(11)
    low, high = {
        "exp": (-87.0, 88.0),
        "expm1": (-100.0, 88.0),
        "log1p": (0.0, 1.0),
        "gelu": (-12.0, 30.0),
        "normal": (-12.0, 30.0),
        "gelu_tanh": (-9.0, 30.0),
    }.get(name, (-80.0, 80.0))
    spread = 10.0 ** rng.uniform(-9, 0, 20000)
    x = np.concatenate([rng.uniform(low, high, 20000), rng.standard_normal(20000), spread, -spread])
    return np.clip(x, low, high).astype(dtype)


def needs_wider(name, dtype):
    # float64's normal distribution is no finer than its oracle here, math.erfc
    if dtype == "float64" and (np.finfo(np.longdouble).nmant < 63 or name in ("gelu", "normal")):
        pytest.skip("no wider arithmetic to compare with")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["exp", "expm1", "log1p", "tanh", "sigmoid", "normal"])
def test_elementary_functions_are_accurate(name, dtype):
    needs_wider(name, dtype)
    function = getattr(make_elementary(getattr(numba, dtype)), name)

    @numba.njit
    def apply(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    x = arguments(name, dtype)
    out = np.empty_like(x)
    apply(x, out)
    assert error_in_ulps(out, wide(name, x), dtype) <= ULPS[name]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", ["elu", "selu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus", "hardswish"]
)
def test_activations_are_accurate(name, dtype):
    needs_wider(name, dtype)
    x = arguments(name, dtype)
    assert error_in_ulps(activate(x, name), wide(name, x), dtype) <= ULPS[name]


# x times the normal distribution function, from 50-digit arithmetic (mpmath's ncdf)
GELU = {
    -37.5: "-1.727007378593233066435488e-306",
    -30.0: "-1.472014178144456117860143e-196",
    -20.25: "-3.596804726522879312513855e-90",
    -12.0: "-2.131778534493214797235405e-32",
    -7.75: "-3.560836262728411481620478e-14",
    -5.0: "-0.000001433257859395969558368762",
    -3.125: "-0.002778204059713850185416215",
    -2.0: "-0.04550026389635841440056527",
    -1.0: "-0.1586552539314570514147675",
    -0.75: "-0.1699705142826511494952966",
    -0.375: "-0.132686337497728577110064",
    -0.125: "-0.05628272189623588837758805",
    -0.0009765625: "-0.0004879007890539252529230706",
    -9.313225746154785e-10: "-4.656612869617119881264563e-10",
    9.313225746154785e-10: "4.656612876537665274985437e-10",
    0.0009765625: "0.0004886617109460747470769294",
    0.125: "0.06871727810376411162241195",
    0.5: "0.3457312306370065518188523",
    0.9375: "0.7741399576119915276941992",
    1.75: "1.679896475488320091767175",
    3.0: "2.995950305905109716420045",
    5.5: "5.499999895557406437617543",
    8.25: "8.249999999999999346622579",
    40.0: "40.0",
}


def test_gelu_is_accurate_in_float64():
    x = np.array(list(GELU))
    want = np.array([np.longdouble(v) for v in GELU.values()])
    assert error_in_ulps(activate(x, "gelu"), want, "float64") <= ULPS["gelu"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("identity", -INF, INF),
        ("relu", 0, INF),
        ("leaky_relu", -INF, INF),
        ("prelu", -INF, INF),
        ("elu", -1, INF),
        ("selu", -1.7580993408473766, INF),
        ("gelu", NAN, INF),
        ("gelu_tanh", NAN, INF),
        ("silu", NAN, INF),
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("softplus", 0, INF),
        ("hardswish", NAN, INF),
        ("clip", -1, 1),
        ("abs", INF, INF),
    ],
)
def test_infinities_and_nan(name, low, high, dtype):
    # a row of 40, so that the values go through vector instructions too
    got = activate(np.array([-INF, INF, NAN, 0.0] * 10, dtype), name)
    want = np.array([low, high, NAN, {"sigmoid": 0.5, "softplus": math.log(2)}.get(name, 0)] * 10, dtype)
    np.testing.assert_allclose(got, want, rtol=np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_largest_numbers_neither_overflow_nor_vanish(name, dtype):
    big = np.finfo(dtype).max
    if name == "selu":
        big /= 2
    x = np.array([-big, big, -1e4, 1e4, np.finfo(dtype).tiny, -np.finfo(dtype).smallest_subnormal], dtype)
    slope = 0.25 if name == "prelu" else None
    want = naive.activation(x, name, PARAMETERS.get(name, ()), slope)
    got = activate(x, name)
    if name == "hardswish":  # x * 6 overflows, in PyTorch as here
        got, want = got[2:], want[2:]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got, want.astype(dtype), rtol=1e-6, atol=1e-30)


def test_codes_follow_the_catalog():
    """`make_finish_row` chooses by the catalog's order."""
    assert list(CODES) == [
        *("identity", "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"),
        *("softplus", "hardswish", "clip", "abs", "threshold"),
    ]
    assert set(make_activations(numba.float32)) == set(ACTIVATIONS)
    assert pack_parameters("softplus", (2.0, 30.0), "float32").tolist() == [2.0, 30.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_means_what_pytorch_means(name, dtype):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    functions = {
        "identity": lambda v: v,
        "relu": f.relu,
        "leaky_relu": lambda v: f.leaky_relu(v, 0.01),
        "prelu": lambda v: f.prelu(v, torch.tensor([0.25], dtype=v.dtype)),
        "elu": f.elu,
        "selu": f.selu,
        "gelu": f.gelu,
        "gelu_tanh": lambda v: f.gelu(v, approximate="tanh"),
        "silu": f.silu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softplus": f.softplus,
        "hardswish": f.hardswish,
        "clip": lambda v: v.clamp(-1, 1),
        "abs": torch.abs,
        "threshold": lambda v: (v > 0.5).to(v.dtype),
    }
    x = np.concatenate([np.linspace(-30, 30, 2001), [19.99, 20.0, 20.01, -INF, NAN]]).astype(dtype)
    eps = np.finfo(dtype).eps
    want = functions[name](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(activate(x, name), want, rtol=16 * eps, atol=32 * eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"abs", "threshold"}))
def test_nan_is_returned_as_it_came(name, dtype) -> None:
    came = np.tile(np.array([NAN, -NAN, 1.0], dtype), 30)
    assert np.signbit(came[:2]).tolist() == [False, True]
    for values in (came, came[:2], came[:1]):  # whole vectors and what is left of a row
        got = activate(values, name)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(values))
        kept = np.isnan(values)
        assert got[kept].tobytes() == values[kept].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_threshold_is_passed_by_what_is_larger_alone(dtype):
    above = np.nextafter(np.array(0.5, dtype), np.array(1, dtype))
    values = np.tile(np.array([0.5, above, -INF, INF, NAN], dtype), 13)
    assert activate(values, "threshold").tolist() == [0, 1, 0, 1, 0] * 13

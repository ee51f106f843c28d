"""Layers of the torch dialect against torch itself, over random parameters: the same numbers and the same refusals.

Run with ``python -m pytest -m slow tests/oracle``; VOLCONV_SWEEP_SETS sets the number of parameter sets of each type.

Bounds follow Higham, Accuracy and Stability of Numerical Algorithms (2nd ed., 2002), section 3.1: a sum of n products
errs by about eps·sqrt(n)·Σ|x||w| where roundings are independent; 4 of those are allowed, and eps·|bias|.
"""

import os
from collections import Counter
from dataclasses import dataclass
from math import prod

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import volconv
from volconv.numeric import FLOATS, HALVES, INTEGERS, numpy_dtype, round_to

torch = pytest.importorskip("torch", reason='torch is the oracle of this sweep: python -m pip install -e ".[oracle]"')

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:Initializing zero-element tensors"),
]

SETS = int(os.environ.get("VOLCONV_SWEEP_SETS", "2000"))
NAMES = ("Conv3d", "Conv2d", "ConvTranspose3d", "ConvTranspose2d")
MODES = ("zeros", "reflect", "replicate", "circular")
REFUSALS = (ValueError, RuntimeError, TypeError, IndexError)
LARGEST = 12


@dataclass(frozen=True)
class Case:
    """A layer and a call: `shape` is the input's, `seed` draws numbers, `tiled` asks for pipelines to compare with."""

    name: str
    arguments: dict
    shape: tuple
    output_size: tuple | None
    seed: int
    tiled: bool = False

    @property
    def rank(self):
        return int(self.name[-2])

    @property
    def transposed(self):
        return "Transpose" in self.name


def sizes(rank, low, high):
    """One number for all axes, or one an axis."""
    each = st.integers(low, high)
    return st.one_of(each, st.tuples(*[each] * rank))


def per_axis(value, rank):
    return np.broadcast_to(value, rank).tolist()


@st.composite
def layers(draw, dtype):
    """Parameters and a call that torch computes: the least size of each axis follows from the parameters."""
    name = draw(st.sampled_from(NAMES if dtype in (*FLOATS, "int64") else NAMES[:2]))
    rank, transposed = int(name[-2]), "Transpose" in name
    groups = draw(st.integers(1, 4))
    arguments = {
        "in_channels": groups * draw(st.integers(1, 4)),
        "out_channels": groups * draw(st.integers(1, 20 // groups)),
        "kernel_size": draw(sizes(rank, 1, 4)),
        "stride": draw(sizes(rank, 1, 3)),
        "padding": draw(sizes(rank, 0, 3)),
        "dilation": draw(sizes(rank, 1, 3)) if dtype in (*FLOATS, "int64") else 1,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    k, s, p, d = (per_axis(arguments[key], rank) for key in ("kernel_size", "stride", "padding", "dilation"))
    reach = [dilation * (kernel - 1) for kernel, dilation in zip(k, d, strict=True)]
    extra, by_size = [0] * rank, transposed and draw(st.booleans())
    if transposed:
        limits = s if by_size else map(max, s, d)
        extra = [draw(st.integers(0, limit - 1)) for limit in limits]
        if not by_size:
            arguments["output_padding"] = tuple(extra)
        least = [max(1, 1 - (r + e - 2 * q) // t) for r, e, q, t in zip(reach, extra, p, s, strict=True)]
    else:
        least = _least_forward(draw, arguments, p, reach)
    lengths = [draw(st.integers(low, max(low, LARGEST))) for low in least]
    batch = draw(st.sampled_from([(), (1,), (2,)]))
    shape = (*batch, arguments["in_channels"], *lengths)
    output_size = None
    if by_size:
        plain = [(n - 1) * t - 2 * q + r + 1 for n, t, q, r in zip(lengths, s, p, reach, strict=True)]
        leading = draw(st.sampled_from([(), (7,) * (len(batch) + 1)]))
        output_size = (*leading, *map(sum, zip(plain, extra, strict=True)))
    return Case(name, arguments, shape, output_size, draw(st.integers(0, 2**16)), draw(st.integers(0, 7)) == 0)


def _least_forward(draw, arguments, pads, reach):
    """Draw the padding's form and mode, and return the least size of each axis."""
    mode = arguments["padding_mode"] = draw(st.sampled_from(MODES))
    form = draw(st.sampled_from([None, None, "same", "valid"]))
    low = high = pads
    if form is not None:
        arguments["padding"] = form
        low = [r // 2 if form == "same" else 0 for r in reach]
        high = [r - a if form == "same" else 0 for r, a in zip(reach, low, strict=True)]
        if form == "same":
            arguments["stride"] = 1
    beyond = {"reflect": 1, "circular": 0}.get(mode)
    limits = [1 if beyond is None else max(a, b) + beyond for a, b in zip(low, high, strict=True)]
    return [max(1, r + 1 - a - b, c) for r, a, b, c in zip(reach, low, high, limits, strict=True)]


@st.composite
def altered_layers(draw, dtype):
    """As `layers`, with one or two things put to what torch may refuse."""
    case = draw(layers(dtype))
    arguments, shape, output_size = dict(case.arguments), list(case.shape), case.output_size
    rank = case.rank
    odd = st.one_of(
        st.integers(-1, 5),
        st.lists(st.integers(-1, 3), min_size=1, max_size=4),
        st.tuples(*[st.integers(0, 4)] * rank),
    )
    for _ in range(draw(st.integers(1, 2))):
        what = draw(st.sampled_from([*arguments, "padding_mode", "output_padding", "shape", "rank", "output_size"]))
        if what == "shape":
            shape[draw(st.integers(0, len(shape) - 1))] = draw(st.integers(0, 4))
        elif what == "rank":
            shape = draw(st.sampled_from([shape[1:], [1, *shape], [2, *shape]]))
        elif what == "output_size":
            if not case.transposed:
                continue
            length = draw(st.integers(rank - 1, rank + 3))
            output_size = tuple(draw(st.lists(st.integers(-1, 40), min_size=length, max_size=length)))
        elif what == "padding_mode":
            arguments[what] = draw(st.sampled_from([*MODES, "mirror"]))
        elif what in ("in_channels", "out_channels", "groups"):
            arguments[what] = draw(st.integers(-1, 6))
        elif what == "padding":
            arguments[what] = draw(st.one_of(odd, st.sampled_from(["same", "valid", "full", ""])))
        elif what != "bias":
            arguments[what] = draw(odd)
    return Case(case.name, arguments, tuple(shape), output_size, case.seed)


def documented(case, out_shape):
    """Whether the dialect refuses on purpose what torch computes: the notes of docs/operators.md."""
    arguments, rank = case.arguments, case.rank
    nonzero = arguments.get("padding_mode", "zeros") != "zeros"
    padding, dilation, extra = arguments["padding"], arguments["dilation"], arguments.get("output_padding", 0)
    unchecked = case.output_size is not None or case.shape[0] == 0
    limits = [max(pair) for pair in zip(*(per_axis(arguments[k], rank) for k in ("stride", "dilation")), strict=True)]
    return (
        arguments["in_channels"] == 0
        or (nonzero and not isinstance(padding, str) and np.shape(padding) not in ((), (rank,)))
        or (nonzero and padding == "same" and np.shape(dilation) == (1,))
        or (nonzero and not isinstance(padding, str) and np.min(padding) < 0)
        or (case.transposed and (np.min(dilation) == 0 or 0 in out_shape[-rank:]))
        or (unchecked and np.shape(extra) not in ((), (1,), (rank,)))
        or (unchecked and not (np.less(extra, limits) & np.greater_equal(extra, 0)).all())
    )


def numbers(rng, shape, dtype, scale=1.0):
    """Random numbers that `dtype` holds, over its whole range for integers, so that sums wrap."""
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    values = rng.standard_normal(shape) * scale
    return round_to(values, dtype) if dtype in HALVES else values.astype(dtype)


def by_torch(case, x, weight, bias, dtype):
    """Return torch's result in `dtype`, as an array of a type of NumPy's that holds it."""
    kind = getattr(torch, "bfloat16" if dtype == "float16" and sees_padding_alone(case) else dtype)
    layer = getattr(torch.nn, case.name)(**case.arguments, device="meta")
    for name, values in (("weight", weight), ("bias", bias)):
        if values is not None:
            setattr(layer, name, torch.nn.Parameter(torch.from_numpy(values).to(kind), requires_grad=False))
    extra = {} if case.output_size is None else {"output_size": list(case.output_size)}
    with torch.no_grad():
        out = layer(torch.from_numpy(x).to(kind), **extra)
    return (out.float() if dtype in HALVES else out).numpy()


def sees_padding_alone(case):
    """Whether some window may lie in the padding, or the arguments do not say.

    There torch 2.13 may end the process in float16, by a segmentation fault on processors that compute in it, as for
    Conv2d(8, 20, 2, stride=2, padding=(1, 3), dilation=2) on (2, 8, 2, 1). What it refuses it refuses in bfloat16 too,
    and the numbers that are compared are those of float32.
    """
    if isinstance(case.arguments["padding"], str):
        return False
    keys = ("padding", "dilation", "kernel_size")
    try:
        p, d, k = (np.broadcast_to(case.arguments[key], case.rank) for key in keys)
    except ValueError:
        return True
    return bool((p > d * (k - 1)).any())


def by_volconv(case, x, weight, bias, dtype):
    layer = getattr(volconv, case.name)(**case.arguments, dtype=dtype)
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer(x) if case.output_size is None else layer(x, output_size=case.output_size)


def check_values(case, tensors, dtype, found, theirs, tally):
    """Assert that `found` is what torch computes, to the last bit for integers and within the bound for floats."""
    assert found.shape == theirs.shape
    assert found.dtype == numpy_dtype(dtype)
    tally["outputs"] += found.size
    if dtype in INTEGERS:
        np.testing.assert_array_equal(found, theirs)
        return
    exact, ours, torchs = exactly(case, tensors, dtype)
    if dtype in HALVES:
        check_halves(case, tensors, dtype, found, exact, ours + torchs, tally)
        return
    assert (abs(found - exact) <= ours).all()
    assert (abs(theirs - exact) <= torchs).all()


def exactly(case, tensors, dtype):
    """Return the result in float64, and the bounds of what our sums and torch's may differ from it.

    We add the bias at the end and so does the reference; torch may start with it and round it with every product.
    """
    x, weight, bias = (None if t is None else t.astype("f8") for t in tensors)
    without = Case(case.name, {**case.arguments, "bias": False}, case.shape, case.output_size, case.seed)
    exact = by_torch(without, x, weight, None, "float64")
    magnitude = by_torch(without, abs(x), abs(weight), None, "float64")
    bias = np.zeros(case.arguments["out_channels"]) if bias is None else bias
    bias = bias.reshape(-1, *[1] * case.rank)
    products = prod(weight.shape[2:]) * case.arguments["in_channels"] // case.arguments["groups"]
    eps = np.finfo("f8" if dtype == "float64" else "f4").eps
    factor = 4 * eps * np.sqrt(products)
    return exact + bias, factor * magnitude + eps * abs(bias), factor * (magnitude + abs(bias))


def check_halves(case, tensors, dtype, found, exact, bound, tally):
    """Assert that `found` is the float32 sum rounded once: ours to the bit, torch's to one unit in the last place.

    Where products cancel, what is left is so small that the errors of float32 sums, at most `bound`, are more than a
    unit in its last place.
    """
    kind = numpy_dtype(dtype)
    with np.errstate(over="ignore"):
        rounded, once = (by(case, *tensors, "float32").astype(kind) for by in (by_volconv, by_torch))
        tally["rounded right"] += int((found == exact.astype(kind)).sum())
    assert found.tobytes() == rounded.tobytes()
    info = ml_dtypes.finfo(kind)
    _, exponent = np.frexp(once.astype("f8"))
    unit = np.maximum(np.ldexp(float(info.eps), exponent - 1), float(info.smallest_subnormal))
    with np.errstate(invalid="ignore"):  # infinite in both
        apart = abs(found.astype("f8") - once.astype("f8"))
    assert ((found == once) | (apart <= np.maximum(unit, bound))).all()


def check_tiles(case, tensors, dtype, found):
    """Assert that the equivalent spec gives the same bits, whatever the tile and the number of threads."""
    x, weight, bias = tensors
    stage = {"op": case.name, "name": "y", **case.arguments, "weight": weight.astype("f8").tolist()}
    if bias is not None:
        stage["bias"] = bias.astype("f8").tolist()
    batched = x.ndim == case.rank + 2
    if case.rank == 2:  # the slices of a volume
        x = x.swapaxes(0, 1) if batched else x[:, None]
        found = found.swapaxes(0, 1) if batched else found[:, None]
    if case.output_size is not None:
        stage["output_padding"] = output_padding(case)
    channels = {"channels": case.arguments["in_channels"]}
    pipeline = volconv.load({"volconv": 1, "dtype": dtype, "input": channels, "stages": [stage]})
    rng = np.random.default_rng(case.seed)
    tiles = ["whole", tuple(rng.integers(1, 1 + np.array(found.shape[-3:])).tolist())]
    for tile in tiles:
        for threads in (1, 2):
            result = pipeline(x, tile=tile, threads=threads)
            assert result.astype(found.dtype).tobytes() == np.ascontiguousarray(found).tobytes(), (tile, threads)


def output_padding(case):
    """The output padding that gives the call's output size."""
    rank = case.rank
    keys = ("kernel_size", "stride", "padding", "dilation")
    k, s, p, d = (np.array(per_axis(case.arguments[key], rank)) for key in keys)
    plain = (np.array(case.shape[-rank:]) - 1) * s - 2 * p + d * (k - 1) + 1
    return (np.array(case.output_size[-rank:]) - plain).tolist()


def call_torch(case, dtype):
    """Return input, weight and bias, torch's result, and None; or what torch says against the layer or the call."""
    try:
        layer = getattr(torch.nn, case.name)(**case.arguments, device="meta")
        shapes = (layer.weight.shape, None if layer.bias is None else layer.bias.shape)
        tensors = draw_tensors(case, shapes, dtype)
        return tensors, by_torch(case, *tensors, dtype), None
    except REFUSALS as refusal:
        return None, None, refusal


def refuses(case, dtype):
    """Whether volconv refuses the layer or the call."""
    try:
        layer = getattr(volconv, case.name)(**case.arguments, dtype=dtype)
        by_volconv(case, *draw_tensors(case, (layer.weight_shape, layer.bias_shape), dtype), dtype)
    except volconv.VolconvError:
        return True
    return False


def draw_tensors(case, shapes, dtype):
    rng = np.random.default_rng(case.seed)
    scale = (1e-3, 1.0, 30.0)[case.seed % 3]
    return tuple(None if shape is None else numbers(rng, shape, dtype, scale) for shape in (case.shape, *shapes))


def sweep(dtype, strategy, sets):
    """Return a decorator that runs a function over drawn cases, the same in every run."""

    def run(check):
        with_settings = settings(
            max_examples=sets, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        seed((*FLOATS, *INTEGERS).index(dtype))(with_settings(given(strategy(dtype))(check)))()

    return run


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_torch_computes_the_same(dtype):
    tally = Counter()

    @sweep(dtype, layers, SETS)
    def compare(case):
        tensors, theirs, refusal = call_torch(case, dtype)
        assert refusal is None
        found = by_volconv(case, *tensors, dtype)
        check_values(case, tensors, dtype, found, theirs, tally)
        if case.tiled and dtype in FLOATS:
            check_tiles(case, tensors, dtype, found)
            tally["tiled"] += 1
        tally["sets"] += 1

    print(dtype, dict(tally))
    assert tally["sets"] >= SETS
    if dtype in HALVES:
        assert tally["rounded right"] >= 0.99 * tally["outputs"]


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_torch_refuses_the_same(dtype):
    tally = Counter()

    @sweep(dtype, altered_layers, SETS // 2)
    def compare(case):
        tensors, theirs, refusal = call_torch(case, dtype)
        if refusal is not None:
            assert refuses(case, dtype), f"torch refuses: {refusal}"
            tally["refused"] += 1
            return
        if documented(case, theirs.shape):
            assert refuses(case, dtype)
            tally["refused on purpose"] += 1
            return
        check_values(case, tensors, dtype, by_volconv(case, *tensors, dtype), theirs, tally)
        tally["computed"] += 1

    print(dtype, dict(tally))
    assert tally["refused"] >= SETS // 10

"""Operators on several inputs, on shapes and on channels, against PyTorch on random parameters."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import volconv

torch = pytest.importorskip("torch")

SETS = 60
draws = settings(max_examples=SETS, deadline=None, derandomize=True, database=None)
volumes = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 9))
seeds = st.integers(0, 2**32 - 1)


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def run(stages, x, tile="whole"):
    return volconv.load({"volconv": 1, "input": {"channels": x.shape[0]}, "stages": stages})(x, tile=tile)


def check(stages, x, theirs, exact=True):
    """Assert that `stages` give what torch does, in any tile."""
    whole = run(stages, x)
    assert whole.shape == tuple(theirs.shape)
    if exact:
        np.testing.assert_array_equal(whole, theirs.numpy())
    for tile in ((1, 2, 3), (4, 3, 2)):
        assert run(stages, x, tile).tobytes() == whole.tobytes(), tile
    return whole


def refuses(stages, x):
    try:
        run(stages, x)
    except volconv.VolconvError:
        return True
    return False


@draws
@given(volumes, st.tuples(*[st.booleans()] * 4), st.sampled_from(["Add", "Sub", "Mul", "Div"]), st.booleans(), seeds)
def test_broadcasting(shape, spread, op, swapped, seed):
    x = random(shape, seed)
    part = x[tuple(slice(0, 1) if is_spread else slice(None) for is_spread in spread)]
    dims = [n + 1 for n, is_spread in enumerate(spread) if is_spread]
    cut = (
        {"op": "Slice", "name": "part", "dim": dims, "end": [1] * len(dims)}
        if dims
        else {"op": "Identity", "name": "part"}
    )
    function = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}[op]
    operands = (
        [torch.from_numpy(part), torch.from_numpy(x)] if swapped else [torch.from_numpy(x), torch.from_numpy(part)]
    )
    names = ["part", "input"] if swapped else ["input", "part"]
    check([cut, {"op": op, "inputs": names}], x, function(*operands))


@draws
@given(volumes, st.lists(st.integers(0, 4), min_size=2, max_size=5), seeds)
def test_concat(shape, picks, seed):
    x = random(shape, seed)
    ends = [1 + pick % shape[0] for pick in picks]
    parts = [{"op": "Slice", "name": f"s{n}", "input": "input", "dim": 1, "end": end} for n, end in enumerate(ends)]
    join = {"op": "Concat", "inputs": [part["name"] for part in parts]}
    check([*parts, join], x, torch.cat([torch.from_numpy(x[:end]) for end in ends]))


@draws
@given(volumes, st.data(), seeds)
def test_slice(shape, data, seed):
    x = random(shape, seed)
    dims = data.draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4, unique=True))
    start, end = (data.draw(st.lists(st.integers(-11, 11), min_size=len(dims), max_size=len(dims))) for _ in range(2))
    step = data.draw(st.lists(st.integers(1, 3), min_size=len(dims), max_size=len(dims)))
    theirs = torch.from_numpy(x)[None]
    for dim, *part in zip(dims, start, end, step, strict=True):
        theirs = torch.ops.aten.slice(theirs, dim, *part)
    stage = {"op": "Slice", "dim": dims, "start": start, "end": end, "step": step}
    if theirs.numel() == 0:
        assert refuses([stage], x)
        return
    check([stage], x, theirs[0])


@draws
@given(volumes, st.lists(st.sampled_from([1, 2, 3, 4, -1, -2, -3, -4]), min_size=1, max_size=4), seeds)
def test_flip(shape, dims, seed):
    assume(len({dim % 5 for dim in dims}) == len(dims))
    x = random(shape, seed)
    check([{"op": "Flip", "dims": dims}], x, torch.flip(torch.from_numpy(x)[None], dims)[0])


@draws
@given(volumes, st.sampled_from(["constant", "reflect", "replicate"]), st.data(), seeds)
def test_pad(shape, mode, data, seed):
    x = random(shape, seed)
    count = data.draw(st.sampled_from([2, 4, 6, 8] if mode == "constant" else [6]))
    padding = data.draw(st.lists(st.integers(-6, 7), min_size=count, max_size=count))
    value = {"value": data.draw(st.sampled_from([0.0, -1.5, 3e5]))} if mode == "constant" else {}
    compare_padding({"op": "Pad", "padding": padding, "mode": mode, **value}, x, padding, mode, **value)


@draws
@given(volumes, st.lists(st.integers(0, 7), min_size=6, max_size=6), seeds)
def test_circular_pad(shape, padding, seed):
    x = random(shape, seed)
    compare_padding({"op": "CircularPad3d", "padding": padding}, x, padding, "circular")


def compare_padding(stage, x, padding, mode, **value):
    try:
        theirs = torch.nn.functional.pad(torch.from_numpy(x)[None], padding, mode=mode, **value)[0]
    except (RuntimeError, ValueError):
        theirs = None
    if theirs is None or theirs.numel() == 0:
        assert refuses([stage], x) or beyond(x.shape, padding)
        return
    check([stage], x, theirs)


def beyond(shape, padding):
    """Whether some end is cut by more than there is: torch's kernels disagree on what that means."""
    return any(-min(padding[2 * n : 2 * n + 2]) >= shape[3 - n] for n in range(len(padding) // 2))


@pytest.mark.parametrize(
    ("name", "more"),
    [(f"{kind}Pad{rank}d", {"value": 2.5} if kind == "Constant" else {}) for rank in (2, 3)
     for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular")],
)  # fmt: skip
def test_padding_layers(name, more):
    x = random((3, 4, 5, 6))
    count = 2 * int(name[-2])
    for padding in (2, [1, 2, 3, 0, 2, 1][:count]):
        layer = getattr(torch.nn, name)(padding if isinstance(padding, int) else tuple(padding), *more.values())
        theirs = torch.from_numpy(x) if count == 4 else torch.from_numpy(x)[None]
        theirs = layer(theirs) if count == 4 else layer(theirs)[0]
        check([{"op": name, "padding": padding, **more}], x, theirs)


@draws
@given(volumes, st.integers(1, 20), st.booleans(), seeds)
def test_linear(shape, outputs, bias, seed):
    x, rng = random(shape, seed), np.random.default_rng(seed)
    layer = torch.nn.Linear(shape[0], outputs, bias).double()
    weight, offset = rng.standard_normal((outputs, shape[0])), rng.standard_normal(outputs)
    layer.weight.data = torch.from_numpy(weight)
    stage = {"op": "Linear", "weight": weight.tolist(), "bias": offset.tolist() if bias else False}
    if bias:
        layer.bias.data = torch.from_numpy(offset)
    with torch.no_grad():
        theirs = layer(torch.from_numpy(x.astype("f8")).movedim(0, -1)).movedim(-1, 0)
    found = check([stage], x, theirs, exact=False)
    magnitude = np.einsum("oi,idhw->odhw", abs(weight), abs(x)) + abs(offset)[:, None, None, None]
    assert (abs(found - theirs.numpy()) <= 4 * np.finfo("f4").eps * np.sqrt(shape[0] + 1) * magnitude).all()


@draws
@given(volumes, st.sampled_from([1e-5, 1e-2, 1.0]), st.integers(0, 2), seeds)
def test_layer_norm(shape, eps, tensors, seed):
    x, channels = random(shape, seed), shape[0]
    weight, bias = np.random.default_rng(seed).standard_normal((2, channels))
    layer = torch.nn.LayerNorm(channels, eps, elementwise_affine=tensors > 0, bias=tensors > 1).double()
    stage = {"op": "LayerNorm", "eps": eps, "elementwise_affine": tensors > 0}
    if tensors > 0:
        layer.weight.data, stage["weight"] = torch.from_numpy(weight), weight.tolist()
    if tensors > 1:
        layer.bias.data, stage["bias"] = torch.from_numpy(bias), bias.tolist()
    elif tensors > 0:
        stage["bias"] = False
    with torch.no_grad():
        theirs = layer(torch.from_numpy(x.astype("f8")).movedim(0, -1)).movedim(-1, 0)
    found = check([stage], x, theirs, exact=False)
    deviation = np.sqrt(x.astype("f8").var(axis=0) + eps)
    scale = abs(x).max(axis=0) / deviation * max(1, abs(weight).max())
    bound = 16 * np.finfo("f4").eps * np.sqrt(channels) * (scale * (1 + scale) + abs(bias).max())
    assert (abs(found - theirs.numpy()) <= bound).all()

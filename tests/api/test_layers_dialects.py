"""Layers in the words of each framework: the examples of their pages, layouts, batches, text."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volconv
from volconv.dialects import dialect_names
from volconv.errors import ShapeError, SpecError, UsageError, WeightsError

RNG = np.random.default_rng(2)
CLASSES = {name: getattr(volconv, name) for name in ("Conv3d", "Conv2d", "ConvTranspose3d", "ConvTranspose2d")}


@pytest.mark.parametrize(
    ("dialect", "name", "arguments", "shape", "expected"),
    [
        ("megengine", "Conv3d", (3, 1, 3), (2, 3, 4, 4, 4), (2, 1, 2, 2, 2)),
        ("megengine", "Conv2d", (3, 1, 3), (2, 3, 4, 4), (2, 1, 2, 2)),
        ("megengine", "ConvTranspose3d", (3, 64, 3, 2, 1), (1, 3, 32, 32, 32), (1, 64, 63, 63, 63)),
        ("lucid", "Conv3d", (1, 16, 3, 1, 1), (2, 1, 16, 32, 32), (2, 16, 16, 32, 32)),
        ("lucid", "Conv3d", (16, 32, 3, 2, 1), (2, 16, 16, 32, 32), (2, 32, 8, 16, 16)),
        ("torch", "Conv3d", (16, 33, 3, 2), (2, 16, 10, 50, 30), (2, 33, 4, 24, 14)),
        ("torch", "Conv3d", (16, 33, (3, 5, 2), (2, 1, 1), (4, 2, 0)), (2, 16, 10, 50, 30), (2, 33, 8, 50, 29)),
    ],
)
def test_the_examples_of_the_pages(dialect, name, arguments, shape, expected):
    layer = CLASSES[name](*arguments, dialect=dialect, init="default")
    assert layer(RNG.standard_normal(shape).astype("f4")).shape == expected


def test_megengines_shapes_are_shown_and_taken():
    conv = volconv.Conv3d(4, 8, 3, groups=2, dialect="megengine")
    assert conv.weight_shape == (2, 4, 2, 3, 3, 3)
    assert conv.bias_shape == (1, 8, 1, 1, 1)
    weight, bias = RNG.standard_normal(conv.weight_shape), RNG.standard_normal(8)
    conv.weight, conv.bias = weight, bias
    assert conv.bias.shape == (1, 8, 1, 1, 1)
    conv.bias = bias.reshape(1, 8, 1, 1, 1)
    twin = volconv.Conv3d(4, 8, 3, groups=2, weight=weight.reshape(8, 2, 3, 3, 3), bias=bias.reshape(1, 8, 1, 1, 1))
    assert twin.bias.shape == (8,)
    x = RNG.standard_normal((1, 4, 5, 6, 7)).astype("f4")
    np.testing.assert_array_equal(conv(x), twin(x))
    with pytest.raises(WeightsError, match=r"found shape \(8, 2, 3, 3, 3\), expected \(2, 4, .*\.reshape\(2, 4, 2, 3"):
        conv.weight = weight.reshape(8, 2, 3, 3, 3)
    with pytest.raises(WeightsError, match=r"expected \(1, 8, 1, 1, 1\) or \(8,\)"):
        conv.bias = bias.reshape(8, 1)


UNBATCHED = {("torch", name) for name in CLASSES} | {("megengine", "ConvTranspose3d")}


@pytest.mark.parametrize("dialect", dialect_names())
@pytest.mark.parametrize("name", list(CLASSES))
def test_batches(dialect, name):
    layer = CLASSES[name](2, 3, 3, padding=1, dialect=dialect, init="default")
    rank = 2 if name.endswith("2d") else 3
    x = RNG.standard_normal((2, 2, *(5, 6, 7)[:rank])).astype("f4")
    y = layer(x)
    assert y.shape == (2, 3, *x.shape[2:])
    assert layer(x[:0]).shape == (0, *y.shape[1:])
    np.testing.assert_array_equal(layer(x[1:]), y[1:])
    if (dialect, name) in UNBATCHED:
        np.testing.assert_array_equal(layer(x[1]), y[1])
    else:
        with pytest.raises(ShapeError, match=f"{rank + 1} axes, expected {rank + 2} .batched., as {dialect}"):
            layer(x[1])
    for wrong in (x[None], x[0, 0]):
        with pytest.raises(ShapeError, match=f"found an input of {wrong.ndim} axes"):
            layer(wrong)
    with pytest.raises(ShapeError, match="input of 1 channels, expected in_channels = 2"):
        layer(x[:0, :1])


@pytest.mark.parametrize("name", ["ConvTranspose3d", "ConvTranspose2d"])
def test_output_size_is_torchs_alone(name):
    rank = int(name[-2])
    x = np.ones((1, 1, *[4] * rank), "f4")
    up = CLASSES[name](1, 1, 3, stride=2, padding=1, output_padding=1, init="default")
    assert up(x).shape[2:] == (8,) * rank
    for size in ([7] * rank, [9, 9, *[7] * rank]):
        assert up(x, output_size=size).shape[2:] == (7,) * rank
    assert up(x[0], output_size=[9, *[8] * rank]).shape[1:] == (8,) * rank
    with pytest.raises(UsageError, match=f"{rank + 1} numbers, expected {rank} or {rank + 2}"):
        up(x, output_size=[7] * (rank + 1))
    with pytest.raises(UsageError, match="found output_size 9 along W, expected 7 to 8"):
        up(x, output_size=[7] * (rank - 1) + [9])
    for dialect in ("megengine", "lucid", "onnx"):
        layer = CLASSES[name](1, 1, 3, stride=2, dialect=dialect, init="default")
        with pytest.raises(UsageError, match=f"found output_size, expected none: {dialect}"):
            layer(x, output_size=[9] * rank)


def test_the_zero_size_that_output_padding_saves():
    arguments = {"stride": 3, "padding": 1, "output_padding": 2, "init": "default"}
    x = np.ones((1, 1, 1, 1, 1), "f4")
    assert volconv.ConvTranspose3d(1, 1, 1, **arguments)(x).shape == (1, 1, 1, 1, 1)
    with pytest.raises(ShapeError, match="ConvTranspose3d: output of -1 voxels along D before output_padding"):
        volconv.ConvTranspose3d(1, 1, 1, dialect="megengine", **arguments)(x)


def test_the_padding_of_onnx_follows_each_input():
    conv = volconv.Conv3d(1, 1, 3, stride=2, auto_pad="SAME_UPPER", dialect="onnx", init="default")
    up = volconv.ConvTranspose3d(1, 1, 3, stride=2, output_shape=[9, 8, 7], dialect="onnx", init="default")
    for n in (4, 5, 6):
        x = np.ones((1, 1, n, n, n), "f4")
        assert conv(x).shape[2:] == (-(-n // 2),) * 3
        assert up(x).shape[2:] == (9, 8, 7)
    assert volconv.Conv3d(1, 1, 2, pads=[0, 0, 0, 1, 1, 1], dialect="onnx", init="default")(x).shape == x.shape
    with pytest.raises(SpecError, match="padding beside pads"):
        volconv.Conv3d(1, 1, 2, padding=1, pads=[0, 0, 0, 1, 1, 1], dialect="onnx")


@pytest.mark.parametrize(
    ("dialect", "name", "arguments", "text"),
    [
        ("torch", "Conv3d",
         {"stride": 2, "padding": (1, 2, 3), "dilation": 2, "bias": False, "padding_mode": "reflect"},
         "2, 4, kernel_size=(3, 3, 3), stride=(2, 2, 2), padding=(1, 2, 3), dilation=(2, 2, 2), bias=False, "
         "padding_mode=reflect"),
        ("torch", "ConvTranspose2d", {"stride": 2, "output_padding": 1, "groups": 2},
         "2, 4, kernel_size=(3, 3), stride=(2, 2), output_padding=(1, 1), groups=2"),
        ("torch", "Conv3d", {"padding": "valid"}, "2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1), padding=valid"),
        ("megengine", "Conv3d", {}, "2, 4, kernel_size=(3, 3, 3)"),
        ("megengine", "Conv2d",
         {"stride": 2, "padding": 1, "dilation": (1, 2), "groups": 2, "bias": False, "padding_mode": "reflect",
          "conv_mode": "cross_correlation", "compute_mode": "float32"},
         "2, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(1, 2), groups=2, bias=False"),
        ("megengine", "ConvTranspose3d", {"stride": 2, "output_padding": 1},
         "2, 4, kernel_size=(3, 3, 3), stride=(2, 2, 2)"),
        ("lucid", "Conv3d", {}, "2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1), padding=(0, 0, 0)"),
        ("lucid", "Conv3d", {"padding": "Same", "padding_mode": "circular", "dilation": 2, "groups": 2, "bias": False},
         "2, 4, kernel_size=(3, 3, 3), stride=(1, 1, 1), padding=same, padding_mode='circular'"),
        ("lucid", "ConvTranspose3d", {"stride": 2, "output_padding": 1, "bias": False},
         "2, 4, kernel_size=(3, 3, 3), stride=(2, 2, 2), padding=(0, 0, 0)"),
        ("onnx", "Conv2d", {"pads": [0, 1, 1, 2], "dilation": 2, "groups": 2, "bias": False},
         "2, 4, kernel_size=(3, 3), stride=(1, 1), dilation=(2, 2), pads=[0, 1, 1, 2], groups=2, bias=False"),
        ("onnx", "Conv3d", {"auto_pad": "SAME_LOWER", "stride": 2},
         "2, 4, kernel_size=(3, 3, 3), stride=(2, 2, 2), auto_pad=SAME_LOWER"),
        ("onnx", "ConvTranspose2d", {"output_shape": [8, 8]},
         "2, 4, kernel_size=(3, 3), stride=(1, 1), output_shape=[8, 8]"),
    ],
)  # fmt: skip
def test_text(dialect, name, arguments, text):
    assert repr(CLASSES[name](2, 4, 3, dialect=dialect, **arguments)) == f"{name}({text})"


def sizes(rank, low, high):
    return st.one_of(st.integers(low, high), st.tuples(*[st.integers(low, high)] * rank))


@st.composite
def layers(draw):
    name = draw(st.sampled_from(list(CLASSES)))
    rank = int(name[-2])
    groups = draw(st.integers(1, 3))
    arguments = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": draw(sizes(rank, 1, 4)),
        "stride": draw(sizes(rank, 1, 3)),
        "padding": draw(sizes(rank, 0, 3)),
        "dilation": draw(sizes(rank, 1, 3)),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    if name.startswith("ConvTranspose"):
        arguments["output_padding"] = draw(sizes(rank, 0, 2))
    else:
        arguments["padding_mode"] = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
        arguments["padding"] = draw(st.one_of(st.just(arguments["padding"]), st.sampled_from(["same", "valid"])))
    shape = draw(st.tuples(*[st.integers(1, 7)] * rank))
    return name, arguments, (draw(st.integers(1, 2)), arguments["in_channels"], *shape)


@settings(max_examples=100, deadline=None)
@given(layers())
def test_torch_computes_and_refuses_the_same(drawn):
    torch = pytest.importorskip("torch")
    name, arguments, shape = drawn
    x = RNG.standard_normal(shape)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an even kernel at same padding takes a copy
            theirs = getattr(torch.nn, name)(**arguments, dtype=torch.float64)
            expected = theirs(torch.from_numpy(x)).numpy()
    except (ValueError, RuntimeError, TypeError):
        with pytest.raises(volconv.VolconvError):
            CLASSES[name](**arguments, init="default", dtype="float64")(x)
        return
    ours = CLASSES[name](**arguments, dtype="float64")
    ours.weight = theirs.weight.detach().numpy()
    if arguments["bias"]:
        ours.bias = theirs.bias.detach().numpy()
    np.testing.assert_allclose(ours(x), expected, rtol=1e-11, atol=1e-11)
    assert repr(ours) == repr(theirs)


@settings(max_examples=40, deadline=None)
@given(layers(), st.integers(-3, 3), st.integers(0, 3))
def test_output_sizes_are_torchs(drawn, change, leading):
    torch = pytest.importorskip("torch")
    name, arguments, shape = drawn
    if not name.startswith("ConvTranspose"):
        return
    arguments["output_padding"] = 0
    rank = len(shape) - 2
    x = RNG.standard_normal(shape[1:] if leading == 1 else shape)
    theirs = getattr(torch.nn, name)(**arguments, dtype=torch.float64)
    ours = CLASSES[name](**arguments, dtype="float64", weight=theirs.weight.detach().numpy())
    if arguments["bias"]:
        ours.bias = theirs.bias.detach().numpy()
    numbers = {key: np.broadcast_to(arguments[key], rank) for key in ("kernel_size", "stride", "padding", "dilation")}
    k, s, p, d = numbers.values()
    base = (np.array(shape[2:]) - 1) * s - 2 * p + d * (k - 1) + 1
    size = [7] * leading + [int(n) + change for n in base]
    try:
        with torch.no_grad():
            expected = theirs(torch.from_numpy(x), output_size=size).numpy()
    except (ValueError, RuntimeError):
        with pytest.raises(volconv.VolconvError):
            ours(x, output_size=size)
        return
    found = ours(x, output_size=size)
    assert list(found.shape[-rank:]) == size[-rank:]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)

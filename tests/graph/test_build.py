"""Specs of every dialect, against the same stage written in torch's words."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.dialects import dialect_names
from volconv.engine.naive_engine import run_naive
from volconv.errors import ShapeError, SpecError, WeightsError
from volconv.formats.in_memory import ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.ops.base import Wire
from volconv.ops.registry import get_dialect
from volconv.run.arrays import run_graph
from volconv.spec.load import load_spec, load_spec_mapping, parse_spec

RNG = np.random.default_rng(5)
SHAPE = (5, 6, 7)


def build(spec, shape=SHAPE):
    loader = make_loader(spec)
    try:
        return build_graph(spec, Wire(shape, spec.input.channels, spec.dtype), loader)
    finally:
        loader.close()


def graph_of(dialect, stage, shape=SHAPE, channels=4):
    spec = {"volconv": 1, "dialect": dialect, "dtype": "float64", "input": {"channels": channels}, "stages": [stage]}
    return build(load_spec_mapping(spec), shape)


@st.composite
def stages(draw):
    """Return (dialect, stage in its words, the same in torch's words), weights inline, on 4 channels."""
    dialect = draw(st.sampled_from(dialect_names()))
    name = draw(st.sampled_from(["Conv3d", "Conv2d", "ConvTranspose3d", "ConvTranspose2d"]))
    reader = get_dialect(dialect).readers[name]
    n, transposed = reader.rank, reader.in_axis == 0
    numbers = st.lists(st.integers(1, 3), min_size=n, max_size=n)
    only = {key: schema.get("const") for key, schema in reader.parameters.items()}
    lucid_transposed = dialect == "lucid" and transposed
    stage = {
        "op": name,
        "kernel_size": draw(numbers),
        "stride": draw(numbers),
        "padding": draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)),
        "dilation": [1] * n if lucid_transposed else draw(numbers),
        "groups": only["groups"] or draw(st.sampled_from([1, 2, 4])),
        "bias": False,
    }
    modes = reader.parameters.get("padding_mode", {}).get("enum")
    if modes:
        stage["padding_mode"] = draw(st.sampled_from(modes))
    if transposed:
        stage["output_padding"] = [draw(st.integers(0, s - 1)) for s in stage["stride"]]
    plain = (4, 8 // stage["groups"]) if transposed else (8, 4 // stage["groups"])
    weight = RNG.standard_normal((*plain, *stage["kernel_size"]))
    torch = {**stage, "weight": weight.tolist()}
    if dialect == "onnx" and draw(st.booleans()):
        stage["pads"] = [*stage["padding"], *stage.pop("padding")]
    if "conv_mode" in reader.parameters and draw(st.booleans()):
        stage["conv_mode"] = "cross_correlation"
    if dialect == "megengine" and stage["groups"] > 1:
        weight = weight.reshape(stage["groups"], plain[0] // stage["groups"], *weight.shape[1:])
    return dialect, {**stage, "weight": weight.tolist()}, torch


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(stages(), st.tuples(*[st.integers(1, 5)] * 3), st.tuples(*[st.integers(1, 4)] * 3))
def test_a_stage_of_any_dialect_is_its_twin_in_torchs_words(drawn, shape, tile):
    dialect, stage, torch = drawn
    try:
        graph = graph_of(dialect, stage, shape)
    except ShapeError as error:
        if "MegEngine" not in str(error):
            with pytest.raises(ShapeError):
                graph_of("torch", torch, shape)
        return
    twin = graph_of("torch", torch, shape)
    assert graph.nodes[0].op == twin.nodes[0].op
    np.testing.assert_array_equal(graph.nodes[0].tensors["weight"], twin.nodes[0].tensors["weight"])
    x = RNG.standard_normal((4, *shape))
    (naive,) = run_naive(graph, x).values()
    assert naive.shape == (8, *graph.nodes[0].wire.shape)
    (found,) = run_graph(graph, ArraySource(x), 2**34, 1, tile).values()
    np.testing.assert_allclose(found, naive, rtol=1e-12, atol=1e-12)


def in_file(tmp_path, dialect, op, tensors, weights="", groups=2):
    np.savez(tmp_path / "w.npz", **{f"a.{name}": tensor for name, tensor in tensors.items()})
    spec = tmp_path / "s.yaml"
    spec.write_text(
        f"volconv: 1\ndialect: {dialect}\ninput: {{channels: 4}}\nweights: {{file: w.npz{weights}}}\n"
        f"stages: [{{op: {op}, name: a, groups: {groups}, kernel_size: 3}}]\n"
    )
    return build(load_spec(spec))


GROUPED = RNG.standard_normal((2, 3, 2, 3, 3, 3)).astype("f4")
BIAS = RNG.standard_normal(6).astype("f4")


@pytest.mark.parametrize("bias", [BIAS, BIAS.reshape(1, 6, 1, 1, 1)])
@pytest.mark.parametrize(
    ("dialect", "layout", "weight"),
    [
        ("megengine", "", GROUPED),
        ("megengine", ", layout: megengine", GROUPED),
        ("megengine", ", layout: torch", GROUPED.reshape(6, 2, 3, 3, 3)),
        ("torch", "", GROUPED.reshape(6, 2, 3, 3, 3)),
        ("torch", ", layout: megengine", GROUPED),
        ("onnx", ", layout: megengine", GROUPED),
        ("lucid", ", layout: lucid", GROUPED.reshape(6, 2, 3, 3, 3)),
    ],
)
def test_layouts_of_weights_files(tmp_path, dialect, layout, weight, bias):
    (node,) = in_file(tmp_path, dialect, "Conv3d", {"weight": weight, "bias": bias}, layout).nodes
    np.testing.assert_array_equal(node.tensors["weight"], GROUPED.reshape(6, 2, 3, 3, 3))
    np.testing.assert_array_equal(node.tensors["bias"], BIAS)


@pytest.mark.parametrize("op", ["ConvTranspose3d", "ConvTranspose2d"])
def test_grouped_transposed_weights_of_megengine(tmp_path, op):
    kernel = (3, 3, 3) if op == "ConvTranspose3d" else (3, 3)
    weight = RNG.standard_normal((2, 2, 3, *kernel)).astype("f4")
    (node,) = in_file(tmp_path, "torch", op, {"weight": weight, "bias": BIAS}, ", layout: megengine").nodes
    assert node.op.out_channels == 6
    np.testing.assert_array_equal(node.tensors["weight"].ravel(), weight.ravel())
    assert node.tensors["weight"].shape == node.op.tensor_shapes()["weight"]


def test_a_torch_weight_in_a_grouped_megengine_stage_must_be_declared(tmp_path):
    message = (
        "stage 'a' (Conv3d): weight 'a.weight': found shape (6, 2, 3, 3, 3), expected (2, 3, 2, 3, 3, 3); it has the "
        "layout of torch: weights: {file: …, layout: torch}, or .reshape(2, 3, 2, 3, 3, 3)"
    )
    with pytest.raises(WeightsError, match=re.escape(message)):
        in_file(tmp_path, "megengine", "Conv3d", {"weight": GROUPED.reshape(6, 2, 3, 3, 3), "bias": BIAS})


def test_a_megengine_weight_in_a_torch_stage_must_be_declared(tmp_path):
    with pytest.raises(
        SpecError, match=r"found a weight of shape \(2, 3, 2, 3, 3, 3\), expected 5 axes.*layout: megengine"
    ):
        in_file(tmp_path, "torch", "Conv3d", {"weight": GROUPED, "bias": BIAS})


def test_the_shape_of_a_bias(tmp_path):
    for shape in [(6, 1), (1, 6), (1, 6, 1, 1), (6, 1, 1, 1), (5,), (1, 5, 1, 1, 1)]:
        bias = np.zeros(shape, "f4")
        with pytest.raises(WeightsError, match=r"expected \(6,\) or \(1, 6, 1, 1, 1\)"):
            in_file(tmp_path, "torch", "Conv3d", {"weight": GROUPED.reshape(6, 2, 3, 3, 3), "bias": bias})
        with pytest.raises(WeightsError, match=r"expected \(1, 6, 1, 1, 1\) or \(6,\)"):
            in_file(tmp_path, "megengine", "Conv3d", {"weight": GROUPED, "bias": bias})
    weight = RNG.standard_normal((6, 2, 3, 3)).astype("f4")
    in_file(tmp_path, "torch", "Conv2d", {"weight": weight, "bias": BIAS.reshape(1, 6, 1, 1)})
    with pytest.raises(WeightsError, match=r"expected \(6,\) or \(1, 6, 1, 1\)"):
        in_file(tmp_path, "torch", "Conv2d", {"weight": weight, "bias": BIAS.reshape(1, 6, 1, 1, 1)})


def test_rank_comes_from_the_stage_never_from_the_array(tmp_path):
    """Five axes are a dense 3-D weight or a grouped 2-D one of MegEngine's."""
    weight = RNG.standard_normal((2, 3, 2, 3, 3)).astype("f4")
    (node,) = in_file(tmp_path, "megengine", "Conv2d", {"weight": weight, "bias": BIAS}).nodes
    assert node.op.tensor_shapes()["weight"] == (6, 2, 1, 3, 3)


@pytest.mark.parametrize("dialect", dialect_names())
def test_generated_filters_need_no_layout(dialect):
    stage = {"op": "Conv3d", "weight": {"generator": "gradient"}}
    (node,) = graph_of(dialect, stage).nodes
    (twin,) = graph_of("torch", stage).nodes
    assert node.op == twin.op
    np.testing.assert_array_equal(node.tensors["weight"], twin.tensors["weight"])


@pytest.mark.parametrize("dialect", dialect_names())
def test_initialisation_has_the_dialects_spread(dialect):
    stage = {
        "op": "Conv3d",
        "out_channels": 64,
        "kernel_size": 3,
        "groups": 2,
        "weight": {"init": "default", "seed": 1},
    }
    (node,) = graph_of(dialect, stage, channels=16).nodes
    weight, bias = node.tensors["weight"], node.tensors["bias"]
    if dialect == "megengine":
        assert weight.std() == pytest.approx((16 * 27) ** -0.5, rel=0.02)
        assert np.abs(weight).max() > 3 * weight.std()
        assert not bias.any()
    else:
        bound = (8 * 27) ** -0.5
        assert 0.99 * bound < np.abs(weight).max() <= bound
        assert 0.8 * bound < np.abs(bias).max() <= bound


def test_the_padding_of_onnx_follows_from_the_size_at_the_stage():
    spec = {
        "volconv": 1,
        "dialect": "onnx",
        "stages": [
            {"op": "Conv3d", "stride": 2, "auto_pad": "SAME_UPPER", "weight": {"generator": "mean"}},
            {"op": "Conv3d", "stride": 2, "auto_pad": "SAME_LOWER", "weight": {"generator": "mean"}},
        ],
    }
    first, second = build(load_spec_mapping(spec), (9, 10, 11)).nodes
    assert (first.wire.shape, first.op.pad_low, first.op.pad_high) == ((5, 5, 6), (1, 0, 1), (1, 1, 1))
    assert (second.wire.shape, second.op.pad_low, second.op.pad_high) == ((3, 3, 3), (1, 1, 1), (1, 1, 0))


def test_faults_name_the_stage_and_the_place(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "volconv: 1\ndialect: megengine\nstages:\n  - {op: Conv3d, name: edge, padding_mode: zeros, kernel_size: 3,\n"
        "     out_channels: 1, weight: {init: default, seed: 0}}\n"
    )
    with pytest.raises(SpecError) as caught:
        build(load_spec(path))
    text = str(caught.value)
    assert "line 4, column" in text
    assert "stage 'edge' (Conv3d): found padding_mode 'zeros', expected no such key here: MegEngine pads with" in text


CONV_KEYS = (
    "in_channels, out_channels, kernel_size, stride, dilation, groups, padding, padding_mode, weight, bias, tensors, "
    "op, name, input, inputs"
)


@pytest.mark.parametrize(
    ("stage", "column", "message"),
    [
        ("{op: Conv3d, padding: same, wieght: {init: default, seed: 1}}", 31, f"'wieght', expected one of {CONV_KEYS}"),
        ("{op: Conv3d, padding: same, wieght: {init: default, seed: 1}}", 31, "; did you mean 'weight'?"),
        ("{op: ReLU, inptu: input}", 14, "'inptu', expected one of op, name, input, inputs; did you mean 'input'?"),
        ("{op: Add, inptus: [input, input]}", 13, "name, input, inputs; did you mean 'inputs'?"),
        ("{op: ReLU, bias: true}", 14, "'bias', expected one of op, name, input, inputs"),
        ("{op: PReLU, slope: 0.1}", 15, "'slope', expected one of num_parameters, weight, tensors, op, name,"),
    ],
)
def test_unknown_keys_are_reported_before_missing_weights(stage, column, message):
    text = f"volconv: 1\nstages:\n- {{op: Conv3d, name: first}}\n- {stage}\n"
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        build(parse_spec(text, "s.yaml"))
    assert f"line 4, column {column}: stages[1]." in str(caught.value)
    assert caught.value.code == "spec.unknown"


def test_keys_of_other_dialects_are_refused_before_missing_weights():
    spec = {"volconv": 1, "stages": [{"op": "Conv3d", "auto_pad": "VALID"}]}
    with pytest.raises(SpecError, match="found auto_pad 'VALID', expected no such key here: it is ONNX'"):
        build(load_spec_mapping(spec))

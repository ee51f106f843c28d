"""Random small pipelines, as specs: however they are cut, they give the same bits, and the right ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from volconv.engine.naive_engine import run_naive
from volconv.engine.naive_nodes import TWINS
from volconv.formats.in_memory import ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.graph.model import INPUT, Graph
from volconv.graph.passes import optimise
from volconv.kernels import naive, naive_shapes
from volconv.ops.base import Wire
from volconv.ops.batch_norm import BatchNorm, scale_and_shift
from volconv.run.arrays import run_graph
from volconv.spec.load import load_spec_mapping

BUDGET = 2**34
MODES = ("zeros", "reflect", "replicate", "circular")
POINTWISE = [
    {"op": "ReLU"}, {"op": "LeakyReLU", "negative_slope": 0.2}, {"op": "Clip", "min": -0.5, "max": 0.75}, {"op": "Abs"},
    {"op": "Affine", "scale": 1.5, "shift": -0.25}, {"op": "Affine", "shift": 0.5}, {"op": "Identity"},
    {"op": "VectorNorm"}, {"op": "PReLU", "weight": [0.3]}, {"op": "SiLU"}, {"op": "Hardswish"},
]  # fmt: skip
EVERY_POINTWISE = [
    *POINTWISE, {"op": "ELU", "alpha": 0.7}, {"op": "SELU"}, {"op": "GELU"}, {"op": "GELU", "approximate": "tanh"},
    {"op": "Sigmoid"}, {"op": "Tanh"}, {"op": "Softplus", "beta": 2.0},
]  # fmt: skip


def triples(low, high):
    return st.lists(st.integers(low, high), min_size=3, max_size=3)


@st.composite
def convolutions(draw, channels, outputs):
    groups = draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
    stage = {"op": "Conv3d", "groups": groups, "out_channels": groups * draw(st.sampled_from(outputs)),
             "weight": {"init": "default", "seed": draw(st.integers(0, 9))}, "bias": draw(st.booleans())}  # fmt: skip
    if stage["bias"]:
        del stage["bias"]
    rank = 3
    if draw(st.integers(0, 5)) == 0:
        stage["op"], rank = "Conv2d", 2
    stage["kernel_size"] = draw(triples(1, 3))[-rank:]
    stage["dilation"] = draw(triples(1, 3))[-rank:]
    stage["padding_mode"] = draw(st.sampled_from(MODES))
    stage["padding"] = draw(st.sampled_from(["same", "valid", draw(triples(0, 4))[-rank:]]))
    if stage["padding"] != "same":
        stage["stride"] = [*draw(triples(1, 3))[:2], draw(st.integers(1, 2))][-rank:]
    return stage


@st.composite
def dense(draw):
    """A layer of the kind that shares products between outputs."""
    return {"op": "Conv3d", "kernel_size": 3, "out_channels": draw(st.sampled_from([12, 16, 21, 33])),
            "padding": draw(st.sampled_from(["same", "valid", draw(triples(0, 4))])), "dilation": draw(triples(1, 3)),
            "padding_mode": draw(st.sampled_from(MODES)),
            "weight": {"init": "default", "seed": draw(st.integers(0, 9))}}  # fmt: skip


@st.composite
def transposed(draw, outputs):
    stride, dilation = draw(triples(1, 3)), draw(triples(1, 2))
    extra = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    return {"op": "ConvTranspose3d", "out_channels": draw(st.sampled_from(outputs)), "kernel_size": draw(triples(1, 4)),
            "stride": stride, "dilation": dilation, "padding": draw(triples(0, 2)), "output_padding": extra,
            "weight": {"init": "default", "seed": draw(st.integers(0, 9))}}  # fmt: skip


@st.composite
def generated(draw):
    weight = draw(
        st.sampled_from(
            [{"generator": "gaussian", "sigma": 1}, {"generator": "mean", "size": [5, 1, 5]}, {"generator": "gradient"}]
        )
    )
    return {"op": "Conv3d", "weight": weight, "padding": "same", "padding_mode": draw(st.sampled_from(MODES))}


@st.composite
def norms(draw, channels):
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    mean, bias = rng.standard_normal((2, channels)).tolist()
    variance, weight = rng.uniform(0.1, 2, (2, channels)).tolist()
    stage = {"op": draw(st.sampled_from(["BatchNorm3d", "BatchNorm2d"])), "eps": draw(st.sampled_from([1e-5, 0.1])),
             "tensors": {"running_mean": mean, "running_var": variance}}  # fmt: skip
    return {**stage, **draw(st.sampled_from([{"weight": weight, "bias": bias}, {"affine": False}]))}


@st.composite
def sums(draw, source, wires):
    """A sum of `source` and others of its size; where paths lie a voxel apart it is refused."""
    size = (wires[source].shape, wires[source].channels)
    mates = [name for name, wire in wires.items() if (wire.shape, wire.channels) == size]
    others = draw(st.lists(st.sampled_from(mates), min_size=1, max_size=3))
    return {"op": "Add", "inputs": draw(st.permutations([source, *others]))}


@st.composite
def combinations(draw, source, wires, squared):
    """A sum, difference or, once, a product of `source` and what fits it, one of them spread over the other."""
    shape, channels = wires[source].shape, wires[source].channels
    fits = [
        name
        for name, wire in wires.items()
        if 1 in (wire.channels, channels, wire.channels // channels)
        and all(1 in (n, m) or n == m for n, m in zip(wire.shape, shape, strict=True))
    ]
    pair = draw(st.permutations([source, draw(st.sampled_from(fits))]))
    return {"op": draw(st.sampled_from(["Add", "Sub"] if squared else ["Add", "Sub", "Mul"])), "inputs": pair}


@st.composite
def joins(draw, source, wires):
    """The channels of `source` and of others of its size."""
    mates = [name for name, wire in wires.items() if wire.shape == wires[source].shape]
    others = draw(st.lists(st.sampled_from(mates), min_size=1, max_size=2))
    return {"op": "Concat", "inputs": draw(st.permutations([source, *others]))}


@st.composite
def shapes(draw, wire):
    """A part of a volume, or a volume with a border."""
    op = draw(st.sampled_from(["Slice", "Slice", "Pad", "Pad", "Flip", "Crop"]))
    dims = draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4, unique=True))
    if op == "Flip":
        return {"op": op, "dims": dims}
    if op == "Crop":
        return {"op": op, "low": draw(triples(0, 1)), "high": draw(triples(0, 1))}
    if op == "Slice":
        ends = [draw(st.sampled_from([1, 1, 2, n])) for n in ((wire.channels, *wire.shape)[dim - 1] for dim in dims)]
        return {"op": op, "dim": dims, "end": ends, "step": [draw(st.integers(1, 2)) for _ in dims]}
    mode = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    padding = draw(st.lists(st.integers(-1 if mode != "circular" else 0, 2), min_size=6, max_size=6))
    return {"op": op, "padding": padding, "mode": mode, **({"value": 0.75} if mode == "constant" else {})}


@st.composite
def channel_norms(draw, channels):
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    weight, bias = rng.standard_normal((2, channels)).tolist()
    return {"op": "LayerNorm", "eps": 0.1, "weight": weight, "bias": bias}


@st.composite
def levels(draw, source, wire, name):
    """A strided convolution down, a transposed one up to the same size, and the skip: three stages."""
    stride, kernel = draw(triples(1, 2)), draw(st.sampled_from([1, 3]))
    lengths = [(n - 1) // s + 1 for n, s in zip(wire.shape, stride, strict=True)]
    back = [n - (m - 1) * s for n, m, s in zip(wire.shape, lengths, stride, strict=True)]
    random = {"weight": {"init": "default", "seed": draw(st.integers(0, 9))}, "stride": stride}
    middle = draw(st.sampled_from([1, 5, 16]))
    return [
        {"op": "Conv3d", "name": f"{name}d", "input": source, "kernel_size": kernel, "padding": kernel // 2,
         "out_channels": middle, **random},
        {"op": "ConvTranspose3d", "name": f"{name}u", "kernel_size": back, "out_channels": wire.channels, **random},
        {"op": "Add", "inputs": draw(st.permutations([source, f"{name}u"]))},
    ]  # fmt: skip


@st.composite
def pipelines(draw, outputs=(1, 3, 16, 24), pointwise=tuple(POINTWISE)):
    """A spec as a mapping, the input's shape, and stages whose results are wanted too."""
    dtype = draw(st.sampled_from(["float32", "float32", "float64"]))
    channels = draw(st.integers(1, 4))
    shape = tuple(draw(triples(3, 9)))
    stages, wires = [], {INPUT: Wire(shape, channels, dtype, spacing_mm=(2.0, 1.0, 0.5))}
    for n in range(draw(st.integers(1, 8))):
        source = draw(st.sampled_from([list(wires)[-1], *wires]))
        wire = wires[source]
        squared = any(stage["op"] == "Mul" for stage in stages)
        kinds = [convolutions(wire.channels, outputs), convolutions(wire.channels, outputs), transposed(outputs),
                 dense(), generated(), st.sampled_from(pointwise), st.sampled_from(pointwise), norms(wire.channels),
                 sums(source, wires), combinations(source, wires, squared), joins(source, wires),
                 shapes(wire), shapes(wire), channel_norms(wire.channels), levels(source, wire, f"s{n}")]  # fmt: skip
        drawn = draw(draw(st.sampled_from(kinds)))
        more = [dict(stage) for stage in (drawn if isinstance(drawn, list) else [drawn])]
        more[-1]["name"] = f"s{n}"
        if "inputs" not in more[-1]:
            more[-1]["input"] = source
        try:
            graph = graph_of({"stages": [*stages, *more], "dtype": dtype}, wires[INPUT])
        except ValueError:
            continue
        made = graph.nodes[len(stages) :]
        if max(np.prod(node.wire.shape) * node.wire.channels for node in made) > 40_000:
            continue
        stages += more
        wires.update({node.name: node.wire for node in made})
    assume(stages)
    names = [stage["name"] for stage in stages]
    wanted = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    saved = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    return {"stages": stages, "dtype": dtype, "outputs": wanted}, wires[INPUT], tuple(saved)


def graph_of(mapping, wire, saved=()):
    spec = load_spec_mapping({"volconv": 1, "input": {"channels": wire.channels}, **mapping})
    return build_graph(spec, wire, make_loader(spec), saved)


def values_for(wire, batch=None):
    shape = (wire.channels, *wire.shape) if batch is None else (batch, wire.channels, *wire.shape)
    return np.random.default_rng(7).standard_normal(shape).astype(wire.dtype)


def run(graph, values, tile=None, threads=2):
    return run_graph(graph, ArraySource(values), BUDGET, threads, tile)


def check_bits(drawn, tiles):
    """Every cut, number of threads, saved stage and place in a batch gives the same bits."""
    mapping, wire, saved = drawn
    values = values_for(wire)
    graph = optimise(graph_of(mapping, wire))
    whole = run(graph, values, "whole")
    for name, result in whole.items():
        assert result.shape == (graph.wire(name).channels, *graph.wire(name).shape)
        assert result.dtype == wire.dtype
    for n, tile in enumerate(tiles):
        found = run(graph, values, tile, threads=1 + n % 2)
        for name, result in whole.items():
            assert found[name].tobytes() == result.tobytes(), (name, tile)
    found = run(optimise(graph_of(mapping, wire, saved)), values, tiles[0])
    assert set(found) == {*whole, *saved}
    for name, result in whole.items():
        assert found[name].tobytes() == result.tobytes(), (name, saved)
    batch = np.stack([values[:, ::-1], values])
    for name, result in run(graph, batch, tiles[-1]).items():
        assert result[1].tobytes() == whole[name].tobytes()


def twin_and_bound(node, inputs, eps):
    """Return what the naive twin makes of `inputs`, and how far from it rounding may lead."""
    if node.op.kernel == "add":
        return naive.add(inputs), 4 * eps * naive.add([np.abs(x) for x in inputs])
    if node.op.kernel in ("arithmetic", "concat"):
        expected = TWINS[node.op.kernel](node.op, inputs, {})
        scale = np.abs(expected)
        if getattr(node.op, "kind", "") in ("add", "sub"):
            scale = naive_shapes.arithmetic([np.abs(x) for x in inputs], "add")
        return expected, 4 * eps * (scale + 1)
    (x,) = inputs
    alone = Graph(
        Wire(x.shape[1:], x.shape[0], node.wire.dtype), (replace(node, inputs=(INPUT,)),), (node.name,)
    )  # fmt: skip
    expected = run_naive(alone, x)[node.name]
    if isinstance(node.op, BatchNorm):
        scale, shift = scale_and_shift(node.op, node.tensors)
        return expected, 4 * eps * (naive.affine(np.abs(x), np.abs(scale), np.abs(shift)) + 1)
    if node.op.kernel == "layer_norm":
        scale = np.abs(x).max(axis=0) / np.sqrt(x.astype("f8").var(axis=0) + node.op.eps)
        weight, bias = (np.abs(node.tensors[name]).max() for name in ("weight", "bias"))
        return expected, 16 * eps * np.sqrt(len(x)) * (scale * (1 + scale) * weight + bias)
    if not node.op.kernel.startswith("conv"):
        return expected, 4 * eps * (np.sqrt(5) * np.abs(expected) + 1)
    positive = {key: np.abs(tensor) for key, tensor in node.tensors.items()}
    scale = run_naive(replace(alone, nodes=(replace(alone.nodes[0], tensors=positive),)), np.abs(x))[node.name]
    products = int(np.prod(node.tensors["weight"].shape))
    return expected, 4 * eps * (np.sqrt(products + 1) * scale + 1)


def check_numbers(drawn):
    """Every stage is its naive twin on the same input within the bound; the passes change it by rounding alone."""
    mapping, wire, _ = drawn
    values = values_for(wire)
    names = [stage["name"] for stage in mapping["stages"]]
    graph = optimise(graph_of(mapping, wire, tuple(names)), "direct")
    results = {INPUT: values, **run(graph, values, "whole")}
    eps = np.finfo(wire.dtype).eps
    for node in graph_of(mapping, wire).nodes:
        expected, bound = twin_and_bound(node, [results[name] for name in node.inputs], eps)
        assert (np.abs(results[node.name] - expected) <= bound).all(), node
    exact = run_naive(graph_of(mapping, wire), values)
    for algorithm in ("auto", "direct"):
        for name, result in run(optimise(graph_of(mapping, wire), algorithm), values).items():
            tolerance = 1e-3 if wire.dtype == "float32" else 1e-11
            assert np.abs(result - exact[name]).max() <= tolerance * max(1, np.abs(exact[name]).max())


@settings(max_examples=25, deadline=None)
@given(pipelines(), st.lists(triples(1, 5), min_size=2, max_size=2))
def test_however_it_is_cut_the_bits_are_the_same(drawn, tiles):
    check_bits(drawn, tiles)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(pipelines())
def test_every_stage_is_its_naive_twin(drawn):
    check_numbers(drawn)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(
    pipelines((1, 2, 3, 4, 7, 8, 16, 24, 32, 33), tuple(EVERY_POINTWISE)),
    st.lists(triples(1, 9), min_size=3, max_size=3),
)
def test_however_it_is_cut_the_bits_are_the_same_at_length(drawn, tiles):
    check_bits(drawn, tiles)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(pipelines((1, 2, 3, 4, 7, 8, 16, 24, 32, 33), tuple(EVERY_POINTWISE)))
def test_every_stage_is_its_naive_twin_at_length(drawn):
    check_numbers(drawn)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), triples(1, 3), triples(1, 2)), min_size=1, max_size=3), triples(7, 12))
def test_the_voxel_map_says_where_outputs_lie(steps, shape):
    # filters that keep a ramp a ramp: means, and linear interpolation between neighbours
    stages = []
    for upwards, stride, dilation in steps:
        if upwards:
            ramps = [np.minimum(np.arange(1, 2 * s), np.arange(2 * s - 1, 0, -1)) / s for s in stride]
            stages.append({"op": "ConvTranspose3d", "stride": stride, "padding": [s - 1 for s in stride],
                           "weight": np.einsum("d,h,w->dhw", *ramps)[None, None]})  # fmt: skip
        else:
            stages.append({"op": "Conv3d", "stride": stride, "dilation": dilation,
                           "weight": {"generator": "mean", "size": [3, 1, 3]}})  # fmt: skip
    wire = Wire(tuple(shape), 1, "float64")
    try:
        graph = graph_of({"stages": stages, "dtype": "float64"}, wire)
    except ValueError:
        return
    out = graph.nodes[-1].wire
    assume(np.prod(out.shape) < 20_000)
    for axis in range(3):
        found = run(optimise(graph), np.indices(shape)[None, axis].astype(float), (5, 6, 7))[graph.outputs[0]][0]
        expected = np.indices(out.shape)[axis] * out.voxel_map.scale[axis] + out.voxel_map.offset[axis]
        np.testing.assert_allclose(found, expected, atol=1e-9)

"""Random small pipelines, as specs: however they are cut, they give the same bits, and the right ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from volconv.engine.naive_engine import run_naive
from volconv.engine.naive_nodes import TWINS
from volconv.formats.in_memory import ArraySource
from volconv.graph.model import INPUT, Graph
from volconv.graph.passes import optimise
from volconv.kernels import naive, naive_shapes
from volconv.ops.base import Wire
from volconv.ops.batch_norm import BatchNorm, scale_and_shift
from volconv.ops.group_norm import GroupNorm
from volconv.run.arrays import run_graph

from .random_specs import EVERY_POINTWISE, graph_of, pipelines, triples

BUDGET = 2**34
MANY_WIDTHS = (1, 2, 3, 4, 7, 8, 16, 24, 32, 33)


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
    if isinstance(node.op, GroupNorm):
        return expected, group_norm_bound(node, x, eps)
    if node.op.kernel in ("avg_pool", "resample", "global_pool"):
        scale = run_naive(alone, np.abs(x))[node.name]
        return expected, 4 * eps * np.sqrt(64) * (scale + 1)
    if not node.op.kernel.startswith("conv"):
        return expected, 4 * eps * (np.sqrt(5) * np.abs(expected) + 1)
    positive = {key: np.abs(tensor) for key, tensor in node.tensors.items()}
    scale = run_naive(replace(alone, nodes=(replace(alone.nodes[0], tensors=positive),)), np.abs(x))[node.name]
    products = int(np.prod(node.tensors["weight"].shape))
    return expected, 4 * eps * (np.sqrt(products + 1) * scale + 1)


def group_norm_bound(node, x, eps):
    """Return what rounding may add to a norm over groups of channels, whose statistics are exact."""
    groups = x.astype("f8").reshape(node.op.num_groups, -1)
    factor = 1 / np.sqrt(groups.var(axis=1) + node.op.eps)
    size = np.abs(groups).max(axis=1) * factor
    weight, bias = (np.abs(node.tensors.get(name, default)).max() for name, default in (("weight", 1), ("bias", 0)))
    return 16 * eps * (2 * size.max() * weight + bias + 1)


def check_numbers(drawn):
    """Every stage is its naive twin on the same input within the bound; the passes change it by rounding alone."""
    mapping, wire, _ = drawn
    values = values_for(wire)
    names = [stage["name"] for stage in mapping["stages"]]
    # A window of a MaxPool3d that holds padding alone is -inf, and what follows it is no number to compare.
    with np.errstate(invalid="ignore"):
        exact = run_naive(graph_of(mapping, wire, tuple(names)), values)
    assume(all(np.isfinite(result).all() for result in exact.values()))
    graph = optimise(graph_of(mapping, wire, tuple(names)), "direct")
    results = {INPUT: values, **run(graph, values, "whole")}
    eps = np.finfo(wire.dtype).eps
    for node in graph_of(mapping, wire).nodes:
        expected, bound = twin_and_bound(node, [results[name] for name in node.inputs], eps)
        assert (np.abs(results[node.name] - expected) <= bound).all(), node
    for algorithm in ("auto", "direct"):
        for name, result in run(optimise(graph_of(mapping, wire), algorithm), values).items():
            tolerance = 1e-3 if wire.dtype == "float32" else 1e-11
            assert np.abs(result - exact[name]).max() <= tolerance * max(1, np.abs(exact[name]).max())


@settings(max_examples=15, deadline=None)
@given(pipelines(dtypes=("float32",)), st.lists(triples(1, 5), min_size=2, max_size=2))
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
    pipelines(MANY_WIDTHS, tuple(EVERY_POINTWISE)),
    st.lists(triples(1, 9), min_size=3, max_size=3),
)
def test_however_it_is_cut_the_bits_are_the_same_at_length(drawn, tiles):
    check_bits(drawn, tiles)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(pipelines(MANY_WIDTHS, tuple(EVERY_POINTWISE)))
def test_every_stage_is_its_naive_twin_at_length(drawn):
    check_numbers(drawn)


@st.composite
def ramp_keepers(draw):
    """Stages that keep a ramp a ramp: means, linear interpolation between neighbours, parts, mirroring."""
    kind = draw(st.sampled_from(["mean", "pool", "transposed", "upsample", "slice", "crop", "flip"]))
    stride, dilation = draw(triples(1, 3)), draw(triples(1, 2))
    if kind == "mean":
        return {"op": "Conv3d", "stride": stride, "dilation": dilation,
                "weight": {"generator": "mean", "size": [3, 1, 3]}}  # fmt: skip
    if kind == "pool":
        return {"op": "AvgPool3d", "kernel_size": draw(triples(1, 4)), "stride": stride}
    if kind == "transposed":
        ramps = [np.minimum(np.arange(1, 2 * s), np.arange(2 * s - 1, 0, -1)) / s for s in stride]
        return {"op": "ConvTranspose3d", "stride": stride, "padding": [s - 1 for s in stride],
                "weight": np.einsum("d,h,w->dhw", *ramps)[None, None]}  # fmt: skip
    if kind == "upsample":
        return {"op": "Upsample", "size": draw(triples(2, 14)), "mode": "trilinear", "align_corners": True}
    if kind == "slice":
        return {"op": "Slice", "dim": [2, 3, 4], "start": draw(triples(0, 2)), "step": draw(triples(1, 2))}
    if kind == "crop":
        return {"op": "Crop", "low": draw(triples(0, 2)), "high": draw(triples(0, 1))}
    return {"op": "Flip", "dims": draw(st.lists(st.sampled_from([2, 3, 4]), min_size=1, max_size=3, unique=True))}


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(ramp_keepers(), min_size=1, max_size=4), triples(7, 12))
def test_the_voxel_map_says_where_outputs_lie(stages, shape):
    wire = Wire(tuple(shape), 1, "float64")
    try:
        graph = graph_of({"stages": stages, "dtype": "float64"}, wire)
    except ValueError:
        assume(False)
    out = graph.nodes[-1].wire
    assume(np.prod(out.shape) < 20_000)
    # along an axis of one voxel, nothing lies between neighbours
    assume(all(min(graph.wire(node.inputs[0]).shape) > 1 for node in graph.nodes if node.op_name == "Upsample"))
    for axis in range(3):
        found = run(optimise(graph), np.indices(shape)[None, axis].astype(float), (5, 6, 7))[graph.outputs[0]][0]
        expected = np.indices(out.shape)[axis] * out.voxel_map.scale[axis] + out.voxel_map.offset[axis]
        np.testing.assert_allclose(found, expected, atol=1e-9)

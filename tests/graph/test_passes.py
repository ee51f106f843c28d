import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, sobel

from volconv.api.pipeline import load
from volconv.errors import SpecError
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.graph.passes.factor import factor_filters, split_filter
from volconv.ops.base import Wire
from volconv.spec.load import load_spec_mapping


def graph_of(stages, outputs=None, channels=1, algorithm="auto"):
    mapping = {"volconv": 1, "input": {"channels": channels}, "stages": stages}
    if outputs:
        mapping["outputs"] = outputs
    spec = load_spec_mapping(mapping)
    wire = Wire((20, 20, 20), channels, spacing_mm=(1.0, 1.0, 1.0))
    return optimise(build_graph(spec, wire, make_loader(spec)), algorithm)


CONV = {"op": "Conv3d", "out_channels": 2, "kernel_size": 3, "weight": {"init": "default", "seed": 0}}


def test_an_activation_is_folded_into_the_convolution_before_it():
    graph = graph_of([CONV, {"op": "Affine", "scale": 2}, {"op": "ReLU", "name": "last"}])
    (node,) = graph.nodes
    assert node.name == "last"
    assert [part.op_name for part in node.epilogue] == ["Affine", "ReLU"]


def test_what_is_asked_for_stays_a_stage():
    graph = graph_of([CONV, {"op": "ReLU", "name": "r"}], ["Conv3d", "r"])
    assert [node.name for node in graph.nodes] == ["Conv3d", "r"]


def test_what_two_stages_read_stays_a_stage():
    graph = graph_of([CONV, {"op": "ReLU", "name": "a"}, {"op": "Abs", "name": "b", "input": "Conv3d"}], ["a", "b"])
    assert [node.name for node in graph.nodes] == ["Conv3d", "a", "b"]


def test_two_activations_are_not_one():
    graph = graph_of([CONV, {"op": "ReLU"}, {"op": "Tanh", "name": "t"}])
    assert [node.name for node in graph.nodes] == ["ReLU", "t"]


def test_identities_vanish_unless_asked_for():
    assert [n.name for n in graph_of([{"op": "Identity"}, CONV]).nodes] == ["Conv3d"]
    assert [n.name for n in graph_of([CONV, {"op": "Identity", "name": "i"}]).nodes] == ["Conv3d", "i"]


GAUSSIAN = {"op": "Conv3d", "padding": "same", "weight": {"generator": "gaussian", "sigma": 2}}


@pytest.mark.parametrize(("mode", "name"), [("replicate", "nearest"), ("reflect", "mirror"), ("zeros", "constant")])
def test_a_gaussian_becomes_three_passes_and_stays_one(mode, name):
    stages = [{**GAUSSIAN, "padding_mode": mode, "name": "g"}]
    (swept,), (direct,) = graph_of(stages).nodes, graph_of(stages, algorithm="direct").nodes
    assert (swept.algorithm, direct.algorithm) == ("factored", "direct")
    assert (swept.macs(10), direct.macs(10)) == (10 * 3 * 17, 10 * 17**3)
    chain = factor_filters(graph_of(stages, algorithm="direct"), sweep=False)
    assert [node.name for node in chain.nodes] == ["g/D", "g/H", "g"]
    x = np.random.default_rng(0).random((1, 20, 21, 22))
    pipe = load({"volconv": 1, "dtype": "float64", "stages": stages})
    found, direct = pipe(x), pipe(x, algorithm="direct")
    expected = gaussian_filter(x[0], 2, mode=name)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(direct[0], expected, rtol=1e-12)


def test_the_split_keeps_bias_stride_and_dilation():
    taps = np.einsum("d,h,w->dhw", [1.0, 2, -1, 3, 1], [2.0, 1, 0.5, 1, 2], [1.0, -3, 2, 0.1, 5])
    stage = {
        "op": "Conv3d", "name": "s", "stride": [2, 1, 3], "dilation": [1, 2, 1], "padding": [2, 4, 1],
        "weight": taps[None, None].tolist(), "bias": [0.75],
    }  # fmt: skip
    pipe = load({"volconv": 1, "dtype": "float64", "stages": [stage]})
    x = np.random.default_rng(1).standard_normal((1, 14, 15, 16))
    found, direct = pipe(x), pipe(x, algorithm="direct")
    assert found.shape == direct.shape
    np.testing.assert_allclose(found, direct, rtol=1e-12, atol=1e-12)


def test_split_filter():
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal(5), rng.standard_normal(3), rng.standard_normal(7)
    taps = -np.einsum("d,h,w->dhw", a, b, c)
    parts = split_filter(taps, 1e-14)
    assert parts is not None
    np.testing.assert_allclose(np.einsum("d,h,w->dhw", *parts), taps, rtol=1e-12)
    assert split_filter(taps + 1e-4 * rng.standard_normal(taps.shape), 1e-6) is None
    assert split_filter(np.zeros((3, 3, 3)), 1e-6) is None


def test_a_filter_is_split_where_that_changes_no_more_than_rounding_in_the_compute_type():
    taps = np.einsum("d,h,w->dhw", *np.random.default_rng(4).standard_normal((3, 7))).astype("f4")
    for dtype, algorithm in (("float32", "factored"), ("float64", "direct")):
        spec = load_spec_mapping(
            {"volconv": 1, "dtype": dtype, "stages": [{"op": "Conv3d", "weight": taps[None, None]}]}
        )
        graph = optimise(build_graph(spec, Wire((20, 20, 20), 1, dtype), make_loader(spec)))
        assert [node.algorithm for node in graph.nodes] == [algorithm], dtype


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("sigma", [0.9, 3.3, [2, 0.7, 5]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_generated_gaussians_are_always_split(order, sigma, dtype):
    weight = {"generator": "gaussian", "sigma": sigma, "order": order}
    spec = load_spec_mapping(
        {"volconv": 1, "dtype": dtype, "stages": [{"op": "Conv3d", "padding": "same", "weight": weight}]}
    )
    graph = optimise(build_graph(spec, Wire((9, 9, 9), 1, dtype), make_loader(spec)))
    assert [node.algorithm for node in graph.nodes] == ["factored"]


def test_small_filters_are_left_whole():
    graph = graph_of([{"op": "Conv3d", "weight": {"generator": "sobel"}}])
    assert len(graph.nodes) == 1
    x = np.random.default_rng(0).random((1, 9, 9, 9))
    stage = {"op": "Conv3d", "padding": "same", "padding_mode": "replicate", "weight": {"generator": "sobel"}}
    pipe = load({"volconv": 1, "dtype": "float64", "stages": [stage]})
    np.testing.assert_allclose(pipe(x)[1], sobel(x[0], axis=1, mode="nearest"), rtol=1e-12, atol=1e-12)


def test_what_no_output_depends_on_is_left_out():
    stages = [{**CONV, "name": "a"}, {"op": "ReLU", "name": "b"}, {"op": "Abs", "name": "c", "input": "a"}]
    assert [node.name for node in graph_of(stages, ["b"]).nodes] == ["b"]
    assert [node.name for node in graph_of(stages, ["a"]).nodes] == ["a"]
    assert [node.name for node in graph_of(stages, ["b", "c"]).nodes] == ["a", "b", "c"]


def test_slopes_start_where_torchs_do():
    graph = graph_of([{"op": "PReLU", "num_parameters": 2, "weight": {"init": "default", "seed": 3}}], channels=2)
    assert graph.nodes[0].tensors["weight"].tolist() == [0.25, 0.25]


def test_a_bias_that_is_missing_may_be_left_out():
    with pytest.raises(SpecError, match=r"wants 'c\.bias' .* or bias: false in the stage"):
        graph_of([{"op": "Conv3d", "name": "c", "bias": True, "weight": np.ones((1, 1, 1, 1, 1))}])


def test_dense_layers_of_many_channels_share_products_unless_told_not_to():
    def layer(name, source, **more):
        return {"name": name, "op": "Conv3d", "input": source, "kernel_size": 3, "padding": 1, "out_channels": 12,
                "weight": {"init": "default", "seed": 0}, **more}  # fmt: skip

    stages = [
        layer("thin", "input"), layer("dense", "thin"), layer("dilated", "dense", dilation=4, padding=4),
        layer("wide", "dense", dilation=17, padding=17),
        layer("strided", "dense", stride=2), layer("grouped", "dense", groups=2), layer("flat", "dense", kernel_size=1),
    ]  # fmt: skip
    spec = load_spec_mapping({"volconv": 1, "stages": stages, "outputs": [s["name"] for s in stages]})
    graph = optimise(build_graph(spec, Wire((9, 9, 9), 1, "float32"), make_loader(spec)))
    assert {n.name for n in graph.nodes if n.algorithm == "winograd"} == {"dense", "dilated"}
    stages = [
        layer("few", "input", out_channels=4),
        layer("pairs", "few", out_channels=5),
        layer("flat", "few", kernel_size=[1, 3, 3], padding=[0, 1, 1]),
    ]
    spec = load_spec_mapping({"volconv": 1, "stages": stages, "outputs": [s["name"] for s in stages]})
    graph = optimise(build_graph(spec, Wire((9, 9, 9), 1, "float32"), make_loader(spec)))
    assert {n.name: n.algorithm for n in graph.nodes} == {"few": "direct", "pairs": "winograd1d", "flat": "direct"}
    graph = optimise(build_graph(spec, Wire((9, 9, 9), 1, "float32"), make_loader(spec)), "direct")
    assert {n.algorithm for n in graph.nodes} == {"direct"}


def test_layers_of_stride_two_and_flat_ones_share_products_where_that_pays():
    def layer(name, **more):
        return {"name": name, "op": "Conv3d", "input": "input", "kernel_size": 3, "out_channels": 64,
                "weight": {"init": "default", "seed": 0}, **more}  # fmt: skip

    up = {"op": "ConvTranspose3d", "out_channels": 32, "stride": 2}
    stages = [
        layer("down", stride=2), layer("planes", stride=[1, 2, 2]), layer("four", kernel_size=4, stride=2),
        layer("flat", kernel_size=[3, 1, 3]), layer("up", **up), layer("up_four", **up | {"kernel_size": 4}),
        layer("five", kernel_size=5, stride=2), layer("apart", stride=2, dilation=2), layer("thin", out_channels=4,
        stride=2), layer("up_two", **up | {"kernel_size": 2}), layer("up_one", **up | {"stride": 1}),
    ]  # fmt: skip
    graph = graph_of(stages, [stage["name"] for stage in stages], channels=32)
    fast = {"down", "planes", "four", "flat", "up", "up_four"}
    assert {n.name for n in graph.nodes if n.algorithm == "winograd"} == fast
    assert {n.algorithm for n in graph.nodes if n.name not in fast} == {"direct"}

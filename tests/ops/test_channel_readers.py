"""Linear, LayerNorm and the dropouts in the words of each dialect."""

import numpy as np
import pytest

import volconv
from volconv.dialects import dialect_names
from volconv.errors import SpecError, WeightsError
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.ops.identity import Identity
from volconv.ops.layer_norm import LayerNorm
from volconv.ops.registry import get_dialect
from volconv.spec.load import load_spec_mapping

WEIGHT = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
DROPOUTS = {
    "torch": {"p": 0.2},
    "lucid": {"p": 0.2},
    "megengine": {"drop_prob": 0.2},
    "onnx": {"ratio": 0.2, "seed": 0},
}


def build(*stages, dialect="torch", **more):
    spec = load_spec_mapping(
        {"volconv": 1, "dialect": dialect, "input": {"channels": 2}, "stages": list(stages), **more}
    )
    return build_graph(spec, Wire((4, 4, 4), 2), make_loader(spec))


@pytest.mark.parametrize("dialect", dialect_names())
def test_linear_is_a_convolution_of_single_voxels(dialect):
    for more in ({}, {"in_features": 2, "out_features": 3}):
        node = build({"op": "Linear", "weight": WEIGHT, "bias": [1, 2, 3], **more}, dialect=dialect).nodes[0]
        assert node.op == Conv3d(2, 3, (1, 1, 1))
        assert node.tensors["weight"].shape == (3, 2, 1, 1, 1)
        np.testing.assert_array_equal(node.tensors["weight"].ravel(), np.ravel(WEIGHT))
    assert build({"op": "Linear", "weight": WEIGHT, "bias": False}, dialect=dialect).nodes[0].op.bias is False


@pytest.mark.parametrize("dialect", dialect_names())
def test_linear_is_drawn_as_the_frameworks_draw_it(dialect):
    stage = {"op": "Linear", "out_features": 5000, "weight": {"init": "default", "seed": 0}}
    tensors = build(stage, dialect=dialect).nodes[0].tensors
    if dialect == "megengine":
        assert np.std(tensors["weight"]) == pytest.approx(0.5**0.5, rel=0.05)
        assert not tensors["bias"].any()
    else:
        for tensor in tensors.values():
            assert np.abs(tensor).max() == pytest.approx(0.5**0.5, rel=0.01)


def test_a_dense_layer_of_keras(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["model_weights/dense/dense/kernel:0"] = np.array(WEIGHT).T
        file["model_weights/dense/dense/bias:0"] = np.array([1.0, 2.0, 3.0])
    (tmp_path / "s.yaml").write_text(
        "volconv: 1\ninput: {channels: 2}\nweights: {file: w.h5, prefix: model_weights., layout: keras}\n"
        "stages: [{op: Linear, name: dense}]\n"
    )
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("f4")
    expected = np.einsum("oi,idhw->odhw", WEIGHT, x) + np.array([1, 2, 3])[:, None, None, None]
    np.testing.assert_allclose(volconv.load(tmp_path / "s.yaml")(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dialect", dialect_names())
def test_layer_norm(dialect):
    whole = {"weight": [1, 2], "bias": [3, 4]}
    assert build({"op": "LayerNorm", **whole}, dialect=dialect).nodes[0].op == LayerNorm(2)
    node = build({"op": "LayerNorm", "normalized_shape": [2], "eps": 1e-6, **whole}, dialect=dialect).nodes[0]
    assert node.op == LayerNorm(2, 1e-6)
    drawn = build({"op": "LayerNorm", "weight": {"init": "default", "seed": 0}}, dialect=dialect).nodes[0]
    assert drawn.tensors["weight"].tolist() == [1, 1]
    assert drawn.tensors["bias"].tolist() == [0, 0]
    if dialect != "megengine":
        assert build({"op": "LayerNorm", "bias": False, "weight": [1, 2]}, dialect=dialect).nodes[0].op == LayerNorm(
            2, bias=False
        )
    key = {"megengine": "affine", "torch": "elementwise_affine", "lucid": "elementwise_affine"}.get(dialect)
    if key:
        bare = build({"op": "LayerNorm", key: False}, dialect=dialect).nodes[0]
        assert bare.op == LayerNorm(2, weight=False, bias=False)
    else:
        assert build({"op": "LayerNorm", "axis": -1, **whole}, dialect=dialect).nodes[0].op == LayerNorm(2)


@pytest.mark.parametrize("dialect", dialect_names())
def test_dropouts_are_taken_out(dialect):
    names = [name for name in get_dialect(dialect).readers if "Dropout" in name]
    assert "Dropout" in names
    stages = [{"op": name, **DROPOUTS[dialect]} for name in names]
    graph = build(*stages, {"op": "ReLU"}, dialect=dialect)
    assert all(node.op == Identity() for node in graph.nodes[:-1])
    assert [node.op_name for node in optimise(graph).nodes] == ["ReLU"]
    assert optimise(graph).nodes[0].inputs == ("input",)


@pytest.mark.parametrize(
    ("dialect", "stage", "message"),
    [
        ("torch", {"op": "Linear", "weight": [[1.0]], "in_features": 3}, "found 3, expected 2, the channels"),
        ("torch", {"op": "Linear", "weight": [1.0, 2.0]}, "2 axes: out_features, in_features"),
        ("torch", {"op": "Linear", "weight": {"init": "default", "seed": 0}}, "out_features, for the weight is not"),
        ("torch", {"op": "Linear", "weight": WEIGHT, "bias": False, "in_channels": 2}, "unknown key 'in_channels'"),
        ("torch", {"op": "LayerNorm", "normalized_shape": 3, "weight": [1, 2]}, "found 3, expected 2, the channels"),
        ("torch", {"op": "LayerNorm", "normalized_shape": [2, 4], "weight": [1, 2]}, "a list of 2"),
        ("onnx", {"op": "LayerNorm", "axis": 1, "weight": [1, 2]}, "found 1, expected -1"),
        ("torch", {"op": "Dropout", "p": 2}, "found 2, expected 0 to 1"),
        ("onnx", {"op": "Dropout", "training_mode": True}, "nothing is dropped at inference"),
    ],
)
def test_what_is_refused(dialect, stage, message):
    with pytest.raises((SpecError, WeightsError), match=message):
        build(stage, dialect=dialect)


def test_a_weight_of_another_shape_is_refused():
    with pytest.raises(WeightsError, match=r"found shape \(3, 3\), expected \(3, 2\)"):
        build({"op": "Linear", "weight": np.eye(3).tolist(), "bias": False})

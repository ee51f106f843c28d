"""Norms by a volume's own statistics in the words of each dialect."""

import numpy as np
import pytest

from volconv.errors import SpecError
from volconv.graph.build import build_graph, make_loader
from volconv.ops.base import Wire
from volconv.ops.batch_norm import BatchNorm
from volconv.ops.group_norm import GroupNorm
from volconv.ops.registry import get_dialect
from volconv.spec.load import load_spec_mapping

WHOLE = {"weight": [1.0, 2.0], "bias": [0.5, 0.25]}
TRACKED = {"tensors": {"running_mean": [1.0, 2.0], "running_var": [4.0, 9.0]}}


def build(stage, dialect="torch", shape=(4, 4, 4)):
    spec = load_spec_mapping({"volconv": 1, "dialect": dialect, "input": {"channels": 2}, "stages": [stage]})
    return build_graph(spec, Wire(shape, 2), make_loader(spec)).nodes[0]


@pytest.mark.parametrize("dialect", ["torch", "lucid", "onnx"])
def test_every_dialect_reads_the_same_operators(dialect):
    affine = {} if dialect == "onnx" else {"affine": True}
    node = build({"op": "InstanceNorm3d", "eps": 0.25, **affine, **WHOLE}, dialect)
    assert node.op == GroupNorm(2, 2, 0.25)
    assert {name: tensor.tolist() for name, tensor in node.tensors.items()} == {"weight": [1, 2], "bias": [0.5, 0.25]}
    assert build({"op": "GroupNorm", "num_groups": 1, **WHOLE}, dialect).op == GroupNorm(1, 2)


@pytest.mark.parametrize("dialect", ["torch", "lucid"])
def test_defaults_are_the_frameworks(dialect):
    assert build({"op": "InstanceNorm3d"}, dialect).op == GroupNorm(2, 2, weight=False, bias=False)
    assert build({"op": "GroupNorm", "num_groups": 2, "affine": False}, dialect).op.weight is False
    tracked = build({"op": "InstanceNorm3d", "track_running_stats": True, "momentum": None, **TRACKED}, dialect)
    assert tracked.op == BatchNorm(2, weight=False, bias=False)


def test_torch_may_leave_out_the_bias():
    stage = {"op": "GroupNorm", "num_groups": 2, "weight": [1.0, 1.0], "bias": False}
    assert build(stage).op == GroupNorm(2, 2, bias=False)


def test_an_initialised_norm_starts_as_none():
    node = build({"op": "GroupNorm", "num_groups": 1, "weight": {"init": "default", "seed": 1}})
    assert {name: tensor.tolist() for name, tensor in node.tensors.items()} == {"weight": [1, 1], "bias": [0, 0]}


@pytest.mark.parametrize(
    ("stage", "dialect", "message"),
    [
        ({"op": "GroupNorm"}, "torch", "found no num_groups"),
        ({"op": "GroupNorm", "num_groups": 3}, "torch", "found 3, expected a divisor of 2"),
        ({"op": "GroupNorm", "num_groups": 1, "num_channels": 4}, "lucid", "found 4, expected 2, the channels"),
        ({"op": "InstanceNorm3d", "num_features": 3}, "torch", "found 3, expected 2, the channels"),
        ({"op": "InstanceNorm3d", "eps": -1}, "torch", "eps"),
        ({"op": "InstanceNorm3d", "bias": False}, "lucid", "by affine"),
        ({"op": "InstanceNorm3d", "affine": True}, "onnx", "always has scale and B"),
        ({"op": "InstanceNorm3d", "track_running_stats": True}, "onnx", "make a BatchNormalization"),
        ({"op": "InstanceNorm3d", "epsilon": 1}, "torch", "unknown key 'epsilon'"),
    ],
)
def test_what_a_dialect_has_not_is_refused(stage, dialect, message):
    with pytest.raises(SpecError, match=message):
        build(stage, dialect)


def test_one_voxel_has_no_variance_where_the_framework_says_so():
    with pytest.raises(SpecError, match="one voxel"):
        build({"op": "InstanceNorm3d"}, shape=(1, 1, 1))
    assert build({"op": "InstanceNorm3d", **WHOLE}, "onnx", (1, 1, 1)).op == GroupNorm(2, 2)
    assert build({"op": "GroupNorm", "num_groups": 1, "affine": False}, shape=(1, 1, 1)).op.num_groups == 1


@pytest.mark.parametrize("op", ["InstanceNorm3d", "GroupNorm"])
@pytest.mark.parametrize("tracked", [False, True])
def test_text_is_torchs(op, tracked):
    torch = pytest.importorskip("torch", reason='torch is the oracle here: python -m pip install -e ".[oracle]"')
    reader = get_dialect("torch").readers[op]
    if op == "GroupNorm":
        assert f"GroupNorm({reader.text(GroupNorm(2, 4), {})})" == repr(torch.nn.GroupNorm(2, 4))
        return
    made = BatchNorm(4, 0.5) if tracked else GroupNorm(4, 4, 0.5)
    layer = torch.nn.InstanceNorm3d(4, 0.5, affine=True, track_running_stats=tracked)
    assert f"InstanceNorm3d({reader.text(made, {})})" == repr(layer)
    np.testing.assert_equal(reader.tensors[:2], ("weight", "bias"))

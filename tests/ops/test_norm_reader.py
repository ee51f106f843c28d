"""Batch normalisation in the words of each dialect."""

import numpy as np
import pytest

from volconv.errors import SpecError, WeightsError
from volconv.graph.build import build_graph, make_loader
from volconv.ops.base import Wire
from volconv.ops.batch_norm import BatchNorm
from volconv.ops.registry import get_dialect
from volconv.spec.load import load_spec, load_spec_mapping

TENSORS = {"running_mean": [1.0, 2.0], "running_var": [4.0, 9.0]}
WHOLE = {"weight": [1.0, 2.0], "bias": [0.5, 0.25], "tensors": TENSORS}


def build(stage, dialect="torch", dtype="float32"):
    spec = load_spec_mapping(
        {"volconv": 1, "dialect": dialect, "dtype": dtype, "input": {"channels": 2}, "stages": [stage]}
    )
    return build_graph(spec, Wire((4, 4, 4), 2, dtype), make_loader(spec)).nodes[0]


@pytest.mark.parametrize(
    ("dialect", "op"),
    [(d, op) for d in ("torch", "lucid", "onnx") for op in ("BatchNorm3d", "BatchNorm2d")]
    + [("megengine", "BatchNorm2d")],
)
def test_every_dialect_reads_the_same_operator(dialect, op):
    assert build({"op": op, **WHOLE}, dialect).op == BatchNorm(2)
    node = build({"op": op, "num_features": 2, "eps": 0.25, "momentum": 0.5, **WHOLE}, dialect)
    assert node.op == BatchNorm(2, 0.25)
    assert {name: tensor.tolist() for name, tensor in node.tensors.items()} == {
        "weight": [1, 2], "bias": [0.5, 0.25], "running_mean": [1, 2], "running_var": [4, 9],
    }  # fmt: skip


def test_megengines_tensors_have_four_axes():
    (reader,) = (r for n, r in get_dialect("megengine").readers.items() if n.startswith("BatchNorm"))
    assert set(reader.stored_shapes(BatchNorm(5)).values()) == {(1, 5, 1, 1)}
    four = {k: np.reshape(v, (1, 2, 1, 1)).tolist() for k, v in {**TENSORS, "weight": [1, 2], "bias": [0, 0]}.items()}
    stage = {"op": "BatchNorm2d", "freeze": True, "tensors": four}
    assert build(stage, "megengine").tensors["running_var"].tolist() == [4, 9]
    assert build({"op": "BatchNorm2d", **WHOLE}, "megengine").tensors["bias"].tolist() == [0.5, 0.25]


def test_without_weight_or_bias():
    node = build({"op": "BatchNorm3d", "affine": False, "momentum": None, "tensors": TENSORS})
    assert node.op == BatchNorm(2, weight=False, bias=False)
    assert set(node.tensors) == {"running_mean", "running_var"}
    assert build({"op": "BatchNorm3d", "bias": False, "weight": [1.0, 1.0], "tensors": TENSORS}).op.bias is False


def test_an_initialised_norm_changes_nothing_but_by_eps():
    node = build({"op": "BatchNorm3d", "weight": {"init": "default", "seed": 1}})
    assert {name: tensor.tolist() for name, tensor in node.tensors.items()} == {
        "weight": [1, 1], "bias": [0, 0], "running_mean": [0, 0], "running_var": [1, 1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "dialect", "message"),
    [
        ({"track_running_stats": False}, "torch", "found false, expected true: without running statistics a volume"),
        ({"training_mode": 1}, "onnx", "found 1, expected 0"),
        ({"affine": True}, "onnx", "no such key here: ONNX always has scale and B"),
        ({"freeze": True}, "torch", "it is MegEngine's"),
        ({"bias": False}, "lucid", "weight and bias together"),
        ({"momentum": None}, "onnx", "found nothing, expected a number"),
        ({"momentum": "fast"}, "torch", "found 'fast', expected a number"),
        ({"eps": -1}, "torch", "at least 0"),
        ({"epsilon": 1e-3}, "torch", "unknown key 'epsilon'.*did you mean"),
        ({"num_features": 3}, "torch", "found 3, expected 2, the channels of the stage's input"),
        ({"affine": False, "weight": [1.0, 1.0]}, "torch", "found tensor 'weight', expected none of that name"),
        ({"tensors": {**TENSORS, "num_batches_tracked": [1]}}, "torch", "found tensor 'num_batches_tracked'"),
    ],
)
def test_what_a_dialect_refuses(stage, dialect, message):
    with pytest.raises(SpecError, match=message):
        build({"op": "BatchNorm3d", **({} if "weight" in stage else WHOLE), **stage}, dialect)


def test_shapes_and_values_are_checked():
    with pytest.raises(WeightsError, match=r"running_var: found shape \(3,\), expected \(2,\)"):
        build({"op": "BatchNorm3d", **WHOLE, "tensors": {**TENSORS, "running_var": [1.0, 1.0, 1.0]}})
    with pytest.raises(WeightsError, match=r"stage 'BatchNorm3d' .BatchNorm3d.: running_var . eps is -0.99999"):
        build({"op": "BatchNorm3d", **WHOLE, "tensors": {**TENSORS, "running_var": [-1.0, 1.0]}})


def test_names_in_a_file_are_torchs(tmp_path):
    held = {"running_mean": [1, 2], "running_var": [4, 9], "weight": [1, 2], "bias": [3, 4]}
    np.savez(tmp_path / "w.npz", **{f"net.bn.{k}": np.array(v, "f4") for k, v in held.items()},
             **{"net.bn.num_batches_tracked": np.array(7), "net.other": np.ones(1)})  # fmt: skip
    text = (
        "volconv: 1\ninput: {channels: 2}\nweights: {file: w.npz, prefix: net.}\n"
        "stages: [{op: BatchNorm3d, name: bn}]\n"
    )
    (tmp_path / "s.yaml").write_text(text)
    spec = load_spec(tmp_path / "s.yaml")
    loader = make_loader(spec)
    node = build_graph(spec, Wire((4, 4, 4), 2), loader).nodes[0]
    assert {name: tensor.tolist() for name, tensor in node.tensors.items()} == held
    assert list(loader.unused().values()) == [["other"]]
    loader.close()
    (tmp_path / "s.yaml").write_text(text.replace("name: bn", "name: bx"))
    spec = load_spec(tmp_path / "s.yaml")
    with pytest.raises(WeightsError, match=r"bx\.weight"):
        build_graph(spec, Wire((4, 4, 4), 2), make_loader(spec))


def test_a_missing_file_is_told_with_what_to_give():
    with pytest.raises(SpecError, match=r"wants 'BatchNorm3d\.running_mean'.*tensors: .running_mean: \.\.\.. in"):
        build({"op": "BatchNorm3d", "affine": False})


@pytest.mark.parametrize(
    ("dialect", "written", "text"),
    [
        ("torch", {}, "2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True"),
        ("lucid", {"momentum": None}, "2, eps=1e-05, momentum=None, affine=True, track_running_stats=True"),
        ("megengine", {}, "2, eps=1e-05, momentum=0.9, affine=True, track_running_stats=True"),
    ],
)
def test_what_the_frameworks_print(dialect, written, text):
    assert get_dialect(dialect).readers["BatchNorm2d"].text(BatchNorm(2), written) == text

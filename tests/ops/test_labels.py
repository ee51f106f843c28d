"""The local operators from scores to label maps: contract, wires, readers of every dialect."""

import ml_dtypes
import numpy as np
import pytest

import volconv
from volconv.errors import ShapeError, SpecError
from volconv.ops.activations import Activation
from volconv.ops.affine import Affine
from volconv.ops.argmax import ArgMax
from volconv.ops.base import Wire, infer_wire
from volconv.ops.identity import Identity
from volconv.ops.reader import Context
from volconv.ops.registry import get_dialect
from volconv.ops.remap import Remap
from volconv.ops.softmax import Softmax
from volconv.testing.op_contract import Case, OpContract
from volconv.values import Values

SHAPE = (4, 5, 19)
HERE = Wire(SHAPE, 5)


class TestSoftmax(OpContract):
    cases = tuple(Case(Softmax(log), SHAPE, channels) for log in (False, True) for channels in (1, 2, 17))


class TestArgMax(OpContract):
    cases = tuple(Case(ArgMax(last), SHAPE, channels) for last in (False, True) for channels in (1, 2, 17))


class TestThreshold(OpContract):
    cases = (Case(Activation("threshold", (0.25,)), SHAPE, 3),)


class TestRemap(OpContract):
    cases = (Case(Remap(((0, 3), (3, 1))), SHAPE, 2),)


def read(dialect, op, **values):
    return get_dialect(dialect).readers[op].read(Values(values), Context(5))


def test_argmax_gives_as_many_labels_as_it_reads_channels():
    wire = ArgMax().out_wire((HERE,))
    assert (wire.channels, wire.labels) == (1, 5)
    with pytest.raises(ShapeError, match="16777217 channels, expected at most 16777216"):
        ArgMax().out_wire((Wire(SHAPE, 2**24 + 1),))


def test_a_threshold_gives_two_labels_a_channel():
    wire = Activation("threshold", (0.5,)).out_wire((HERE,))
    assert (wire.channels, wire.labels) == (5, 2)


def test_only_what_keeps_labels_gives_labels():
    labels = ArgMax().out_wire((HERE,))
    assert infer_wire(Identity(), (labels,)).labels == 5
    assert infer_wire(Affine((2.0,)), (labels,)).labels == 0
    assert infer_wire(Activation("relu"), (labels,)).labels == 0
    assert infer_wire(Softmax(), (labels,)).labels == 0


@pytest.mark.parametrize(
    ("pairs", "labels"), [({4: 0}, 4), ({1: 300}, 301), ({0: 4, 4: 0}, 5), ({0: 1, 1: 1, 2: 1, 3: 1, 4: 1}, 2)]
)
def test_remap_counts_the_labels_that_are_left(pairs, labels):
    assert Remap(tuple(pairs.items())).out_wire((ArgMax().out_wire((HERE,)),)).labels == labels


def test_remap_refuses_labels_that_there_are_not():
    with pytest.raises(ShapeError, match="labels: found 5, expected a label from 0 to 4"):
        Remap(((5, 0),)).out_wire((ArgMax().out_wire((HERE,)),))
    assert Remap(((5, 0),)).out_wire((HERE,)) == HERE


@pytest.mark.parametrize(
    ("dialect", "op", "values"),
    [
        ("torch", "Softmax", {}), ("torch", "Softmax", {"dim": 1}), ("torch", "LogSoftmax", {"dim": -4}),
        ("lucid", "Softmax", {"dim": 1}), ("lucid", "LogSoftmax", {"dim": 1}),
        ("megengine", "Softmax", {}), ("megengine", "Softmax", {"axis": 1}),
        ("megengine", "LogSoftmax", {"axis": 1}),
        ("onnx", "Softmax", {"axis": 1}), ("onnx", "LogSoftmax", {"axis": 1}),
    ],
)  # fmt: skip
def test_softmax_in_every_dialect(dialect, op, values):
    assert read(dialect, op, **values) == Softmax(log=op == "LogSoftmax")


@pytest.mark.parametrize(
    ("dialect", "op", "values", "message"),
    [
        ("torch", "Softmax", {"dim": 2}, "found 2, expected dim: 1, the channels"),
        ("torch", "Softmax", {"axis": 1}, "unknown key 'axis'"),
        ("torch", "Softmax", {"bias": True}, "unknown key 'bias'"),
        ("lucid", "Softmax", {}, "found no dim, expected dim: 1"),
        ("megengine", "Softmax", {"dim": 1}, "unknown key 'dim'"),
        ("onnx", "Softmax", {}, "found no axis, which means -1, expected axis: 1"),
        ("onnx", "LogSoftmax", {"axis": 0}, "found 0, expected axis: 1"),
        ("onnx", "ArgMax", {"axis": 0}, "found 0, expected axis: 1"),
        ("onnx", "ArgMax", {"keepdims": 0}, "found 0, expected 1"),
        ("onnx", "ArgMax", {"select_last_index": 2}, "found 2, expected 0 or 1"),
        ("torch", "ArgMax", {"dim": 1}, "unknown key 'dim'"),
        ("torch", "Threshold", {}, "no threshold"),
        ("torch", "Threshold", {"threshold": 0, "value": 1}, "unknown key 'value'"),
        ("torch", "Remap", {}, "no labels"),
        ("torch", "Remap", {"labels": [1, 2]}, "expected labels and what they become"),
        ("torch", "Remap", {"labels": {}}, "expected labels and what they become"),
        ("torch", "Remap", {"labels": {"a": 1}}, "found 'a', expected a label"),
        ("torch", "Remap", {"labels": {"1": -1}}, "found -1, expected a label"),
        ("torch", "Remap", {"labels": {"1": 1.5}}, "found 1.5, expected a label"),
        ("torch", "Remap", {"labels": {"1": True}}, "found true, expected a label"),
        ("torch", "Remap", {"labels": {"1": 2**24}}, "found 16777216, expected a label"),
        ("torch", "Remap", {"labels": {"01": 1, "1": 2}}, "label 1 twice"),
    ],
)  # fmt: skip
def test_what_is_refused(dialect, op, values, message):
    with pytest.raises(SpecError, match=message):
        read(dialect, op, **values)


def test_argmax_of_onnx():
    assert read("onnx", "ArgMax") == read("onnx", "ArgMax", axis=1, keepdims=1) == ArgMax()
    assert read("onnx", "ArgMax", select_last_index=1) == ArgMax(last=True)
    for dialect in ("torch", "lucid", "megengine"):
        assert read(dialect, "ArgMax") == ArgMax()


def test_remap_reads_a_mapping_of_text_or_numbers():
    assert read("torch", "Remap", labels={"7": 1, "2": 0}) == Remap(((2, 0), (7, 1)))
    spec = {"volconv": 1, "stages": [{"op": "Remap", "labels": {1: 5, "2": 6}}]}
    found = volconv.load(spec)(np.arange(4.0).reshape(1, 1, 2, 2))
    assert found.ravel().tolist() == [0, 5, 6, 3]


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_labels_are_not_rounded_to_halves(kind):
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((3001, 1, 2, 7)).astype(np.float32)
    stages = [{"op": "ArgMax"}, {"op": "Remap", "labels": {"7": 5}}, {"op": "Identity"}]
    found = volconv.load({"volconv": 1, "dtype": kind, "input": {"channels": 3001}, "stages": stages})(scores)
    rounded = scores.astype(np.float16 if kind == "float16" else ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(found, rounded.argmax(axis=0)[None])


@pytest.mark.slow
def test_a_network_ends_in_labels_whatever_the_tile():
    rng = np.random.default_rng(4)
    weight = rng.standard_normal((21, 3, 3, 3, 3)).round(2).tolist()
    stages = [
        {"op": "Conv3d", "padding": 1, "weight": weight, "bias": False, "name": "logits"},
        {"op": "Softmax", "name": "p"},
        {"op": "LogSoftmax", "name": "l", "input": "logits"},
        {"op": "ArgMax", "name": "a", "input": "logits"},
        {"op": "Threshold", "threshold": 0.5, "name": "t", "input": "logits"},
    ]
    pipe = volconv.load({"volconv": 1, "input": {"channels": 3}, "stages": stages, "outputs": ["logits", *"plat"]})
    x = rng.standard_normal((3, 9, 10, 23)).astype(np.float32)
    whole = pipe(x, tile="whole")
    np.testing.assert_array_equal(whole["a"], whole["logits"].argmax(axis=0)[None])
    np.testing.assert_array_equal(whole["t"], whole["logits"] > 0.5)
    np.testing.assert_allclose(whole["p"].sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(whole["l"]), whole["p"], rtol=1e-5)
    parts = pipe(x, tile=(4, 3, 7), threads=1)
    assert all(parts[name].tobytes() == whole[name].tobytes() for name in whole)

"""ONNX' own cases of Softmax, LogSoftmax and ArgMax, from the onnx package.

Here the axis is that of the channels; a case along another axis is the same numbers with that axis brought there.
"""

import importlib
import warnings

import numpy as np
import pytest

import volconv
from volconv.errors import SpecError

onnx = pytest.importorskip("onnx")

KINDS = ("Softmax", "LogSoftmax", "ArgMax")
DEFAULT_AXIS = {"Softmax": -1, "LogSoftmax": -1, "ArgMax": 0}


def node_cases():
    """Yield (name, node, input, output) of the node tests, which are computed as their modules are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("softmax", "logsoftmax", "argmax"):
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    for found in importlib.import_module("onnx.backend.test.case.node")._NodeTestCases:
        nodes = found.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in KINDS:
            (((x,), (y,)),) = found.data_sets
            yield found.name, nodes[0], x, y


CASES = list(node_cases())


@pytest.mark.parametrize(("node", "x", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_case(node, x, expected):
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    axis = attributes.pop("axis", DEFAULT_AXIS[node.op_type])
    keepdims = attributes.pop("keepdims", 1)
    moved = np.moveaxis(x, axis, 0)
    volume = moved.reshape(len(moved), 1, 1, -1)
    spec = {
        "volconv": 1,
        "dialect": "onnx",
        "input": {"channels": len(moved)},
        "stages": [{"op": node.op_type, "axis": 1, **attributes}],
    }
    found = volconv.load(spec)(volume)
    if node.op_type == "ArgMax":
        assert found.dtype == np.uint8
        found = np.moveaxis(found.reshape(1, *moved.shape[1:]), 0, axis)
        found = found if keepdims else found.squeeze(axis)
        np.testing.assert_array_equal(found, expected)
        assert found.shape == expected.shape
        return
    found = np.moveaxis(found.reshape(moved.shape), 0, axis)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_no_case_is_left_out():
    """What version 1.23 of the package has; another may have more."""
    found = [node.op_type for _, node, _, _ in CASES]
    known = {"Softmax": 7, "LogSoftmax": 7, "ArgMax": 16}
    assert {kind: found.count(kind) >= count for kind, count in known.items()} == dict.fromkeys(known, True), found


def test_a_softmax_without_axis_is_none_of_channels():
    """ONNX then means the last axis."""
    spec = {"volconv": 1, "dialect": "onnx", "stages": [{"op": "Softmax"}]}
    with pytest.raises(SpecError, match="found no axis, which means -1, expected axis: 1"):
        volconv.load(spec)(np.zeros((1, 2, 2, 2)))

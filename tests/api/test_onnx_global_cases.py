"""ONNX' own cases of the operators that need their whole input, from the onnx package's node tests."""

import importlib
import warnings

import numpy as np
import pytest

import volconv

onnx = pytest.importorskip("onnx")

OPS = {
    "InstanceNormalization": "InstanceNorm3d", "GroupNormalization": "GroupNorm",
    "GlobalAveragePool": "AdaptiveAvgPool3d", "GlobalMaxPool": "AdaptiveMaxPool3d",
}  # fmt: skip
NAMES = {"epsilon": "eps", "num_groups": "num_groups"}


def node_cases():
    """Yield (name, node, inputs, output) of the node tests, which are computed as their modules are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("instance_normalization", "groupnormalization", "globalaveragepool", "globalmaxpool"):
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    for found in importlib.import_module("onnx.backend.test.case.node")._NodeTestCases:
        nodes = found.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in OPS:
            ((inputs, outputs),) = found.data_sets
            yield found.name, nodes[0], inputs, outputs[0]


CASES = list(node_cases())


def test_there_are_cases():
    assert {node.op_type for _, node, _, _ in CASES} == set(OPS)


@pytest.mark.parametrize(("node", "inputs", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_case(node, inputs, expected):
    x, *tensors = inputs
    volume = x.reshape(*x.shape[:2], *(1,) * (5 - x.ndim), *x.shape[2:])
    stage = {NAMES[a.name]: onnx.helper.get_attribute_value(a) for a in node.attribute}
    stage |= {key: np.ravel(value).tolist() for key, value in zip(("weight", "bias"), tensors, strict=False)}
    if node.op_type.startswith("Global"):
        stage["output_size"] = 1
    spec = {"volconv": 1, "dialect": "onnx", "input": {"channels": x.shape[1]},
            "stages": [{"op": OPS[node.op_type], **stage}]}  # fmt: skip
    found = volconv.load(spec)(volume)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)
    assert volconv.load(spec)(volume, tile=(1, 2, 2), threads=1).tobytes() == found.tobytes()

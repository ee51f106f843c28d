"""ONNX' own cases of Conv and ConvTranspose, from the onnx package: node tests and operators exported from PyTorch."""

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest

import volconv

onnx = pytest.importorskip("onnx")

NAMES = {  # ONNX' attribute: ours
    "auto_pad": "auto_pad", "dilations": "dilation", "group": "groups", "kernel_shape": "kernel_size", "pads": "pads",
    "strides": "stride", "output_padding": "output_padding", "output_shape": "output_shape",
}  # fmt: skip
LAYERS = {("Conv", 2): "Conv2d", ("Conv", 3): "Conv3d", ("ConvTranspose", 2): "ConvTranspose2d",
          ("ConvTranspose", 3): "ConvTranspose3d"}  # fmt: skip


def node_cases():
    """Yield (name, node, inputs, output) of the node tests, which are computed as their modules are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("conv", "convtranspose"):
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    # `collect_testcases` would import the cases of all operators first, which takes seconds.
    for found in importlib.import_module("onnx.backend.test.case.node")._NodeTestCases:
        nodes = found.model.graph.node
        if nodes[0].op_type in ("Conv", "ConvTranspose"):
            ((inputs, outputs),) = found.data_sets
            yield found.name, nodes[0], inputs, outputs[0]


def stored_cases():
    """Yield (name, node, inputs, output) of the models the package ships that are one convolution."""
    for path in sorted((Path(onnx.__file__).parent / "backend" / "test" / "data").glob("*/*/model.onnx")):
        model = onnx.load(path)
        nodes = model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in ("Conv", "ConvTranspose"):
            held = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
            folder = path.parent / "test_data_set_0"
            given = [name.name for name in model.graph.input if name.name not in held]
            held.update({name: _tensor(folder / f"input_{n}.pb") for n, name in enumerate(given)})
            yield path.parent.name, nodes[0], [held[name] for name in nodes[0].input], _tensor(folder / "output_0.pb")


def _tensor(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return onnx.numpy_helper.to_array(tensor)


CASES = [*node_cases(), *stored_cases()]


def widen(attributes, x, weight):
    """Return a convolution along one axis as one along two, the first of size 1."""
    lows = {"kernel_size": 1, "stride": 1, "dilation": 1, "output_padding": 0, "output_shape": 1}
    wide = {key: [lows[key], *value] if key in lows else value for key, value in attributes.items()}
    if "pads" in wide:
        low, high = wide["pads"]
        wide["pads"] = [0, low, 0, high]
    return wide, x[:, :, None], weight[:, :, None]


@pytest.mark.parametrize(("node", "inputs", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_case(node, inputs, expected):
    attributes = {NAMES[a.name]: onnx.helper.get_attribute_value(a) for a in node.attribute}
    attributes = {
        key: v.decode() if isinstance(v, bytes) else v if key == "groups" else list(v) for key, v in attributes.items()
    }
    x, weight, *bias = inputs
    rank = x.ndim - 2
    if rank == 1:
        attributes, x, weight = widen(attributes, x, weight)
    groups = attributes.get("groups", 1)
    transposed = node.op_type == "ConvTranspose"
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    attributes.setdefault("kernel_size", list(weight.shape[2:]))
    layer = getattr(volconv, LAYERS[node.op_type, max(2, rank)])(
        x.shape[1], out, dialect="onnx", weight=weight, bias=bias[0] if bias else False, **attributes
    )
    found = layer(x)
    found = found[:, :, 0] if rank == 1 else found
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_no_case_is_left_out():
    """What version 1.23 of the package has; another may have more."""
    found = {(node.op_type, inputs[0].ndim - 2): 0 for _, node, inputs, _ in CASES}
    for _, node, inputs, _ in CASES:
        found[node.op_type, inputs[0].ndim - 2] += 1
    known = {("Conv", 1): 8, ("Conv", 2): 18, ("Conv", 3): 7, ("ConvTranspose", 1): 1, ("ConvTranspose", 2): 12,
             ("ConvTranspose", 3): 1}  # fmt: skip
    assert {key: found.get(key, 0) >= count for key, count in known.items()} == dict.fromkeys(known, True), found

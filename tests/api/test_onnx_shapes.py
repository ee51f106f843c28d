"""ONNX' own cases of Add, Sub, Mul, Div, Concat, Slice, Pad, LayerNormalization, Gemm, MatMul and Dropout.

A case's arrays become the channels of one volume, slices cut them out again, and a stage of the onnx dialect combines
them. An axis that is joined or summed over becomes the channels.
"""

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest

import volconv

onnx = pytest.importorskip("onnx")

MODULES = ("add", "sub", "mul", "div", "concat", "slice", "pad", "layernormalization", "gemm", "matmul", "dropout")
NAMES = {"layernormalization": "LayerNormalization", "matmul": "MatMul"}
OPERATORS = tuple(NAMES.get(name, name.capitalize()) for name in MODULES)
LEFT_OUT = {
    "test_slice_start_out_of_bounds": "an empty result",
    "test_matmul_3d": "a product of two inputs",
    "test_matmul_4d": "a product of two inputs",
    "test_matmul_bcast": "a product of two inputs",
    "test_matmul_1d_3d": "a product of two inputs",
    "test_matmul_1d_1d": "a result without axes",
    "test_training_dropout": "random numbers",
    "test_training_dropout_default": "random numbers",
    "test_training_dropout_default_mask": "random numbers",
    "test_training_dropout_mask": "random numbers",
    "test_training_dropout_zero_ratio": "a training mode",
    "test_training_dropout_zero_ratio_mask": "a training mode",
}
INTEGERS = "integers, which are computed by layers of convolutions alone"


def node_cases():
    """Yield (name, node, inputs, output) of the node tests, which are computed as their modules are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    for found in importlib.import_module("onnx.backend.test.case.node")._NodeTestCases:
        nodes = found.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS and not found.name.endswith("_expanded"):
            ((inputs, outputs),) = found.data_sets
            yield found.name, nodes[0], inputs, outputs[0]


def stored_cases():
    """Yield (name, node, inputs, output) of the models the package ships that are one of these operators."""
    for path in sorted((Path(onnx.__file__).parent / "backend" / "test" / "data").glob("pytorch-*/*/model.onnx")):
        model = onnx.load(path)
        nodes = model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS:
            held = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
            folder = path.parent / "test_data_set_0"
            given = [name.name for name in model.graph.input if name.name not in held]
            held.update({name: _tensor(folder / f"input_{n}.pb") for n, name in enumerate(given)})
            yield path.parent.name, nodes[0], [held[name] for name in nodes[0].input], _tensor(folder / "output_0.pb")


def _tensor(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return onnx.numpy_helper.to_array(tensor)


def reason(name, node, inputs):
    """Return why a case is left out, or nothing."""
    is_integer = node.op_type != "Pad" and any(x.dtype.kind in "iu" for x in inputs[:1])
    return LEFT_OUT.get(name) or (INTEGERS if is_integer else "")


FOUND = [*node_cases(), *stored_cases()]
CASES = [case for case in FOUND if not reason(*case[:3])]


def run(stages, arrays):
    """Return what `stages` make of `arrays` (C, D, H, W), which they read as x0, x1, …"""
    size = np.max([x.shape for x in arrays], axis=0)
    dtype = "float64" if arrays[0].dtype == np.float64 else "float32"
    volume = np.zeros((sum(x.shape[0] for x in arrays), *size[1:]), dtype)
    cuts, first = [], 0
    for n, x in enumerate(arrays):
        part = [(first, first + x.shape[0]), *((0, length) for length in x.shape[1:])]
        volume[tuple(slice(*ends) for ends in part)] = x
        starts, ends = zip(*part, strict=True)
        cuts.append({"op": "Slice", "name": f"x{n}", "input": "input", "axes": [1, 2, 3, 4], "starts": list(starts),
                     "ends": list(ends)})  # fmt: skip
        first += x.shape[0]
    spec = {"volconv": 1, "dialect": "onnx", "dtype": dtype, "input": {"channels": len(volume)}}
    return volconv.load({**spec, "stages": [*cuts, *stages]})(volume)


def four_axes(x, rank=4):
    """Return `x` with axes of length 1 in front."""
    return x.reshape((1,) * (rank - x.ndim) + x.shape)


def arithmetic(node, attributes, inputs):
    del attributes
    found = run([{"op": node.op_type, "inputs": ["x0", "x1"]}], [four_axes(x) for x in inputs])
    return found.reshape(np.broadcast_shapes(*(x.shape for x in inputs)))


def concat(node, attributes, inputs):
    del node
    axis = attributes.get("axis", 1)
    arrays = [np.moveaxis(x, axis, 0) for x in inputs]
    arrays = [x.reshape(x.shape + (1,) * (4 - x.ndim)) for x in arrays]
    found = run([{"op": "Concat", "axis": 1, "inputs": [f"x{n}" for n in range(len(arrays))]}], arrays)
    return np.moveaxis(found.reshape(found.shape[: inputs[0].ndim]), 0, axis)


def cut(node, attributes, inputs):
    del node, attributes
    x, starts, ends, *more = inputs
    axes = [int(n) for n in (more[0] if more else range(len(starts)))]
    stage = {"op": "Slice", "axes": [n if n < 0 else n + 5 - x.ndim for n in axes], "starts": starts.tolist(),
             "ends": ends.tolist()}  # fmt: skip
    if len(more) > 1:
        stage["steps"] = more[1].tolist()
    found = run([stage], [four_axes(x)])
    return found.reshape(found.shape[4 - x.ndim :])


def pad(node, attributes, inputs):
    del node
    x, pads, value, axes = (*inputs, *[None] * 3)[:4]
    pads = attributes.get("pads", [] if pads is None else pads.tolist())
    stage = {"op": "Pad", "mode": attributes.get("mode", "constant")}
    value = attributes.get("value", value)
    if value is not None:
        stage["constant_value"] = float(value)
    if axes is None:
        axes = range(x.ndim)
    stage["axes"] = [int(n) if n < 0 else int(n) + 5 - x.ndim for n in axes]
    return run([{**stage, "pads": [int(n) for n in pads]}], [four_axes(x)])


def layer_norm(node, attributes, inputs):
    del node
    x, weight, bias = inputs
    rows = x.reshape(int(np.prod(x.shape[: attributes.get("axis", -1) % x.ndim])), -1)
    stage = {"op": "LayerNorm", "axis": -1, "eps": attributes.get("epsilon", 1e-5),
             "weight": weight.ravel().tolist(), "bias": bias.ravel().tolist()}  # fmt: skip
    return run([stage], [rows.T[:, None, None]]).T.reshape(x.shape)


def product(node, attributes, inputs):
    """Rows of the left matrix are voxels, its columns channels; a bias for each element of the result is a stage."""
    del node
    a, b = inputs[0], inputs[1]
    outer = a.shape[:-1]
    a = a.T if attributes.get("transA") else a.reshape(-1, a.shape[-1])
    b = b if attributes.get("transB") else b.T
    arrays = [a.T[:, None, None]]
    stages = [{"op": "Linear", "input": "x0", "weight": (attributes.get("alpha", 1.0) * np.atleast_2d(b)).tolist(),
               "bias": False}]  # fmt: skip
    if len(inputs) > 2:
        bias = attributes.get("beta", 1.0) * np.atleast_2d(inputs[2])
        arrays.append(bias.T[:, None, None].astype(a.dtype))
        stages.append({"op": "Add", "inputs": ["Linear", "x1"]})
    found = run(stages, arrays)[:, 0, 0].T
    return found if b.ndim == 2 else found.reshape(outer)


def dropout(node, attributes, inputs):
    del node
    known = {key: value for key, value in attributes.items() if key in ("ratio", "seed")}
    ratio = {"ratio": float(inputs[1])} if len(inputs) > 1 else {}
    x = inputs[0]
    return run([{"op": "Dropout", **known, **ratio}, {"op": "Identity"}], [four_axes(x)]).reshape(x.shape)


RUNNERS = {**dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic), "Concat": concat, "Slice": cut, "Pad": pad,
           "LayerNormalization": layer_norm, "Gemm": product, "MatMul": product, "Dropout": dropout}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("node", "inputs", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_case(node, inputs, expected):
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    attributes = {key: v.decode() if isinstance(v, bytes) else v for key, v in attributes.items()}
    found = RUNNERS[node.op_type](node, attributes, inputs)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_no_other_case_is_left_out():
    """What version 1.23 of the package has; another may have more."""
    counts = {operator: 0 for operator in OPERATORS}
    for _, node, _, _ in CASES:
        counts[node.op_type] += 1
    known = {"Add": 6, "Sub": 3, "Mul": 3, "Div": 3, "Concat": 13, "Slice": 7, "Pad": 11, "LayerNormalization": 19,
             "Gemm": 12, "MatMul": 2, "Dropout": 6}  # fmt: skip
    assert {key: counts[key] >= count for key, count in known.items()} == dict.fromkeys(known, True), counts
    assert not set(LEFT_OUT) - {name for name, *_ in FOUND}

"""A graph as an ONNX model, for the libraries that read one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ....graph.model import Graph, Node
from ....ops.affine import Affine
from ....ops.conv3d import Conv3d
from ....ops.conv_transpose3d import ConvTranspose3d
from ..zeros import pad_with_zeros

_OPSET, _IR_VERSION = 17, 8


def make_model(graph: Graph) -> bytes:
    """Return `graph`, padded with zeros, as a serialised model from its input (1, C, D, H, W) to its output."""
    graph = pad_with_zeros(graph)
    nodes, weights = [], []
    for node in graph.nodes:
        weights += [numpy_helper.from_array(t.astype("float32"), f"{node.name}.{n}") for n, t in _tensors(node).items()]
        nodes += list(_nodes(node))
    ends = [("input", graph.input), (graph.outputs[0], graph.wire(graph.outputs[0]))]
    first, last = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, wire.channels, *wire.shape]) for name, wire in ends
    )
    body = helper.make_graph(nodes, "network", [first], [last], weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _tensors(node: Node) -> dict[str, Any]:
    if isinstance(node.op, Affine):
        return {"scale": np.asarray(node.op.scale[0])}
    return dict(node.tensors)


def _nodes(node: Node) -> Iterator[Any]:
    op, name, inputs = node.op, node.name, list(node.inputs)
    if isinstance(op, Conv3d | ConvTranspose3d):
        attributes: dict[str, Any] = {
            "kernel_shape": op.kernel_size,
            "strides": op.stride,
            "dilations": op.dilation,
            "group": op.groups,
            "pads": (*op.pad_low, *op.pad_high),
        }
        if isinstance(op, ConvTranspose3d):
            attributes["output_padding"] = op.output_padding
        kind = "Conv" if isinstance(op, Conv3d) else "ConvTranspose"
        yield helper.make_node(kind, [*inputs, *(f"{name}.{t}" for t in node.tensors)], [name], **attributes)
    elif isinstance(op, Affine) and len(op.scale) == 1 and op.shift == (0.0,):
        yield helper.make_node("Mul", [*inputs, f"{name}.scale"], [name])
    elif node.op_name in ("ReLU", "Add"):
        yield helper.make_node({"ReLU": "Relu", "Add": "Add"}[node.op_name], inputs, [name])
    else:
        raise NotImplementedError(f"{node.op_name} in ONNX")

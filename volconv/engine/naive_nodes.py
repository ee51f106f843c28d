"""The float64 twin of every family of operators, found by `Op.kernel`: the oracle for `volconv.engine.nodes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.model import Node
from ..kernels import naive, naive_shapes
from ..ops.activations import Activation
from ..ops.affine import Affine
from ..ops.arithmetic import Arithmetic
from ..ops.base import Wire
from ..ops.batch_norm import BatchNorm
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d
from ..ops.layer_norm import LayerNorm
from ..ops.pad import Pad
from ..ops.slice import Slice
from .naive_resolution import RESOLUTION_TWINS

Floats = NDArray[np.float64]
Tensors = Mapping[str, Floats]
Twin = Callable[[Any, Sequence[Floats], Tensors], Floats]
"""(operator, inputs (C, D, H, W), weights as the compute type holds them) to the result (C, d, h, w)."""


def run_node(node: Node, inputs: Sequence[Floats], *, skip_outside: bool = False) -> Floats:
    """Return what `node` makes of `inputs`, its epilogue left out."""
    tensors = {
        name: tensor.astype(kept_dtype(node)).astype(np.float64)
        for name, tensor in node.tensors.items()
        if name != "factors"
    }
    if isinstance(node.op, Conv3d):
        return conv(node.op, inputs, tensors, skip_outside=skip_outside)
    if isinstance(node.op, Affine):
        parts = (np.asarray(part, kept_dtype(node)) for part in (node.op.scale, node.op.shift))
        return naive.affine(inputs[0], *parts)
    return TWINS[node.op.kernel](_as_held(node.op, kept_dtype(node)), inputs, tensors)


def _as_held(op: Any, dtype: type[np.floating[Any]]) -> Any:
    """Return `op` with its constants as kernels hold them."""
    if isinstance(op, Arithmetic | Pad):
        return replace(op, value=np.asarray(op.value, dtype).tolist())
    return op


def kept_dtype(node: Node) -> type[np.floating[Any]]:
    """Return the type in which kernels hold the node's weights."""
    return np.float64 if node.wire.dtype == "float64" else np.float32


def conv(op: Conv3d, inputs: Sequence[Floats], tensors: Tensors, *, skip_outside: bool = False) -> Floats:
    """Convolve; with `skip_outside`, zero padding is left out of the sums instead of multiplied."""
    x, low, high = inputs[0], op.pad_low, op.pad_high
    if op.padding_mode != "zeros":
        x, low, high = naive.pad(x, low, high, op.padding_mode), (0, 0, 0), (0, 0, 0)
    return naive.conv3d(
        x, tensors["weight"], tensors.get("bias"), op.stride, op.dilation, op.groups, low, high,
        skip_outside=skip_outside,
    )  # fmt: skip


def _conv_transpose(op: ConvTranspose3d, inputs: Sequence[Floats], tensors: Tensors) -> Floats:
    # The twin cuts both ends alike: what the far end keeps beyond that is output padding.
    far = tuple(e + a - b for e, a, b in zip(op.output_padding, op.pad_low, op.pad_high, strict=True))
    return naive.conv_transpose3d(
        inputs[0], tensors["weight"], tensors.get("bias"), op.stride, op.pad_low, far, op.dilation, op.groups
    )


def _pointwise(op: Activation | BatchNorm, inputs: Sequence[Floats], tensors: Tensors) -> Floats:
    if isinstance(op, Activation):
        return naive.activation(inputs[0], op.kind, op.parameters, tensors.get("weight"))
    mean, variance = tensors["running_mean"], tensors["running_var"]
    return naive.batch_norm(inputs[0], mean, variance, tensors.get("weight"), tensors.get("bias"), op.eps)


def _arithmetic(op: Arithmetic, inputs: Sequence[Floats], tensors: Tensors) -> Floats:  # noqa: ARG001
    value = [np.reshape(op.value, (-1, 1, 1, 1))] if op.value else []
    return naive_shapes.arithmetic([*inputs, *value], op.kind)


def _layer_norm(op: LayerNorm, inputs: Sequence[Floats], tensors: Tensors) -> Floats:
    return naive_shapes.layer_norm(inputs[0], tensors.get("weight"), tensors.get("bias"), op.eps)


def _slice(op: Slice, inputs: Sequence[Floats], tensors: Tensors) -> Floats:  # noqa: ARG001
    (x,) = inputs
    out = op.out_wire((Wire((x.shape[1], x.shape[2], x.shape[3]), x.shape[0]),))
    return naive_shapes.take(x, op.start, (out.channels, *out.shape), op.step)


TWINS: dict[str, Twin] = {
    "add": lambda op, inputs, tensors: naive.add(inputs),  # noqa: ARG005
    "arithmetic": _arithmetic,
    "concat": lambda op, inputs, tensors: naive_shapes.concat(inputs),  # noqa: ARG005
    "conv_transpose": _conv_transpose,
    "copy": lambda op, inputs, tensors: inputs[0],  # noqa: ARG005
    "layer_norm": _layer_norm,
    "pad": lambda op, inputs, tensors: naive_shapes.pad(inputs[0], op.low, op.high, op.mode, op.value),  # noqa: ARG005
    "pointwise": _pointwise,
    "slice": _slice,
    "vector_norm": lambda op, inputs, tensors: naive.vector_norm(inputs[0]),  # noqa: ARG005
    **RESOLUTION_TWINS,
}

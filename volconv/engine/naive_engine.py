"""Computes a graph whole, in float64, with the NumPy twins: the oracle for everything the engine does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.model import INPUT, Graph, Node
from ..kernels import naive
from ..numeric import HALVES, round_to
from ..ops.activations import Activation
from ..ops.add import Add
from ..ops.affine import Affine
from ..ops.batch_norm import BatchNorm
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d

Floats = NDArray[np.float64]


def run_naive(graph: Graph, values: NDArray[Any], *, skip_outside: bool = False) -> dict[str, Floats]:
    """Return each output of `graph` for the whole input `values` (C, D, H, W), as (C, d, h, w) in float64.

    With `skip_outside`, zero padding is left out of the sums instead of multiplied: it matters for infinite weights.
    """
    wires: dict[str, Floats] = {INPUT: _kept(np.asarray(values, np.float64), graph.input.dtype)}
    for node in graph.nodes:
        result = _run(node, [wires[name] for name in node.inputs], skip_outside)
        for part in node.epilogue:
            result = _run(part, [result], skip_outside)
        wires[node.name] = _kept(result, node.wire.dtype)
    return {name: wires[name] for name in graph.outputs}


def _kept(values: Floats, dtype: str) -> Floats:
    """Return `values` as a wire of `dtype` keeps them: rounded for the halves."""
    return round_to(values, dtype).astype(np.float64) if dtype in HALVES else values


def _run(node: Node, inputs: Sequence[Floats], skip_outside: bool) -> Floats:
    op, x = node.op, inputs[0]
    kept = np.float64 if node.wire.dtype == "float64" else np.float32
    tensors = {name: tensor.astype(kept).astype(np.float64) for name, tensor in node.tensors.items()}
    if isinstance(op, Conv3d):
        low, high = op.pad_low, op.pad_high
        if op.padding_mode != "zeros":
            x, low, high = naive.pad(x, low, high, op.padding_mode), (0, 0, 0), (0, 0, 0)
        return naive.conv3d(
            x, tensors["weight"], tensors.get("bias"), op.stride, op.dilation, op.groups, low, high,
            skip_outside=skip_outside,
        )  # fmt: skip
    if isinstance(op, ConvTranspose3d):
        # The twin cuts both ends alike: what the far end keeps beyond that is output padding.
        far = tuple(e + a - b for e, a, b in zip(op.output_padding, op.pad_low, op.pad_high, strict=True))
        return naive.conv_transpose3d(
            x, tensors["weight"], tensors.get("bias"), op.stride, op.pad_low, far, op.dilation, op.groups
        )
    if isinstance(op, Activation):
        return naive.activation(x, op.kind, op.parameters, tensors.get("weight"))
    if isinstance(op, Affine):
        return naive.affine(x, np.asarray(op.scale, kept), np.asarray(op.shift, kept))
    if isinstance(op, Add):
        return naive.add(inputs)
    if isinstance(op, BatchNorm):
        mean, variance = tensors["running_mean"], tensors["running_var"]
        return naive.batch_norm(x, mean, variance, tensors.get("weight"), tensors.get("bias"), op.eps)
    return naive.vector_norm(x) if op.kernel == "vector_norm" else x

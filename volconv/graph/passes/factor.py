"""Computes filters that are an outer product of three vectors by three passes along one axis each.

A sampled Gaussian of 17³ = 4,913 products a voxel becomes 3 × 17. Padding and stride act on each axis alone, so the
split is exact but for rounding; it depends on the layer's weights and parameters only, never on tile or machine. Passes
without stride and dilation are made in one sweep over memory; others are stages of their own. Both give the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from math import fsum, prod

import numpy as np

from ...numeric import HALVES
from ...ops.base import Array, Wire
from ...ops.conv3d import Conv3d
from ..model import Graph, Node

_GAIN = 4
"""Products saved before three sweeps over memory pay: 3³ filters (27 against 9) are better done at once."""
_TOLERANCE = 16
"""Largest ‖W - a⊗b⊗c‖₁/‖W‖₁, in epsilons of the compute type: what rounding leaves of a filter that is a product."""


def factor_filters(graph: Graph, sweep: bool = True) -> Graph:
    """Return `graph` with every separable filter bank worth it computed axis by axis.

    With `sweep`, that is one node of algorithm ``factored`` where stride and dilation are 1; else and elsewhere a chain
    of one-axis convolutions.
    """
    nodes: list[Node] = []
    for node in graph.nodes:
        factors = _factors(node) if isinstance(node.op, Conv3d) else None
        if factors is None:
            nodes.append(node)
        elif sweep and isinstance(node.op, Conv3d) and node.op.stride == node.op.dilation == (1, 1, 1):
            nodes.append(_swept(node, node.op, factors))
        else:
            nodes.extend(_chain(graph, node, factors))
    return replace(graph, nodes=tuple(nodes))


def _factors(node: Node) -> tuple[Array, Array, Array] | None:
    """Return the vectors (O, k) along D, H, W of every filter, or None where splitting is wrong or does not pay."""
    op = node.op
    assert isinstance(op, Conv3d)
    if node.wire.dtype in HALVES:  # weights rounded so coarsely are no outer product any more
        return None
    long = [k for k in op.kernel_size if k > 1]
    if op.groups != op.in_channels or len(long) < 2 or prod(long) < _GAIN * sum(long):
        return None
    weight = node.tensors["weight"][:, 0].astype(np.float64)
    tolerance = _TOLERANCE * float(np.finfo(node.wire.dtype).eps)
    vectors = [split_filter(taps, tolerance) for taps in weight]
    if any(v is None for v in vectors):
        return None
    along = [np.stack([v[axis] for v in vectors if v is not None]) for axis in range(3)]
    return along[0], along[1], along[2]


def split_filter(taps: Array, tolerance: float) -> tuple[Array, Array, Array] | None:
    """Return a, b, c with ``‖taps - a⊗b⊗c‖₁ ≤ tolerance·‖taps‖₁``, or None.

    They are the lines through the largest tap, b and c divided by it. Unlike the singular vectors, whose last bits
    follow the linear algebra library's kernel for the processor at hand, these are the same on every machine.
    """
    d, h, w = np.unravel_index(int(np.argmax(np.abs(taps))), taps.shape)
    largest = taps[d, h, w]
    if largest == 0.0:
        return None
    a, b, c = taps[:, h, w], taps[d, :, w] / largest, taps[d, h, :] / largest
    rest = taps - a[:, None, None] * b[:, None] * c
    if fsum(np.abs(rest).ravel()) > tolerance * fsum(np.abs(taps).ravel()):
        return None
    return a, b, c


def _swept(node: Node, op: Conv3d, factors: tuple[Array, Array, Array]) -> Node:
    """Return `node` with the vectors of its filters beside their product."""
    active = [axis for axis in range(3) if _is_active(op, axis)]
    taps = [factors[axis] if axis in active else np.ones((op.out_channels, 1)) for axis in range(3)]
    taps[active[-1]] = taps[active[-1]] * _constant(factors, active)
    return replace(node, algorithm="factored", tensors={**node.tensors, "factors": np.hstack(taps)})


def _constant(factors: tuple[Array, Array, Array], active: list[int]) -> Array:
    """Return the product (O, 1) of the only taps of the axes that need no pass."""
    product: Array = np.prod([factors[i][:, :1] for i in range(3) if i not in active], axis=0)
    return product


def _chain(graph: Graph, node: Node, factors: tuple[Array, Array, Array]) -> list[Node]:
    op = node.op
    assert isinstance(op, Conv3d)
    axes = [axis for axis in range(3) if _is_active(op, axis)]
    out: list[Node] = []
    source, wire = node.inputs[0], _input_wire(graph, node)
    for n, axis in enumerate(axes):
        last = n == len(axes) - 1
        step = _along(op, axis, op.in_channels if n == 0 else op.out_channels, op.bias and last)
        taps = factors[axis] * (_constant(factors, axes) if last else 1.0)
        tensors = {"weight": taps.reshape(op.out_channels, 1, *step.kernel_size)}
        if step.bias:
            tensors["bias"] = node.tensors["bias"]
        wire = step.out_wire((wire,))
        name = node.name if last else f"{node.name}/{'DHW'[axis]}"
        out.append(Node(name, node.op_name, step, (source,), wire, tensors, node.epilogue if last else ()))
        source = name
    return out


def _input_wire(graph: Graph, node: Node) -> Wire:
    return graph.wire(node.inputs[0])


def _is_active(op: Conv3d, axis: int) -> bool:
    return (op.kernel_size[axis], op.stride[axis], op.pad_low[axis], op.pad_high[axis]) != (1, 1, 0, 0)


def _along(op: Conv3d, axis: int, channels: int, bias: bool) -> Conv3d:
    def only(values: tuple[int, int, int], other: int) -> tuple[int, int, int]:
        kept = [values[i] if i == axis else other for i in range(3)]
        return kept[0], kept[1], kept[2]

    return Conv3d(
        channels,
        op.out_channels,
        only(op.kernel_size, 1),
        only(op.stride, 1),
        only(op.pad_low, 0),
        only(op.pad_high, 0),
        only(op.dilation, 1),
        channels,
        bias,
        op.padding_mode,
    )

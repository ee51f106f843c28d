"""Chooses the algorithm of each convolution from its parameters alone, so that results never depend on the machine."""

from __future__ import annotations

from dataclasses import replace

from ...kernels.catalog import suits_winograd
from ...ops.conv3d import Conv3d
from ..model import Graph, Node


def choose_algorithms(graph: Graph) -> Graph:
    """Return `graph` with the convolutions that gain by it computed by Winograd's algorithm."""
    nodes = tuple(replace(node, algorithm="winograd") if _gains(node) else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _gains(node: Node) -> bool:
    op = node.op
    return isinstance(op, Conv3d) and suits_winograd(
        op.kernel_size, op.stride, op.groups, op.in_channels, op.out_channels
    )

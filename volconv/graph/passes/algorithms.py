"""Chooses each convolution's algorithm by its parameters alone: it decides the order of sums, so the result's bits."""

from __future__ import annotations

from dataclasses import replace

from ...kernels.catalog import choose_algorithm
from ...ops.conv3d import Conv3d
from ..model import Graph, Node


def choose_algorithms(graph: Graph) -> Graph:
    """Return `graph` with the fastest algorithm for each convolution."""
    return replace(graph, nodes=tuple(_choose(node) for node in graph.nodes))


def _choose(node: Node) -> Node:
    op = node.op
    if not isinstance(op, Conv3d):
        return node
    chosen = choose_algorithm(op.kernel_size, op.stride, op.dilation, op.groups, op.in_channels, op.out_channels)
    return replace(node, algorithm=chosen)

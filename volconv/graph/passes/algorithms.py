"""Chooses each convolution's algorithm by its parameters alone: it decides the order of sums, so the result's bits."""

from __future__ import annotations

from dataclasses import replace

from ...kernels.catalog import Algorithm, choose_algorithm, choose_filters
from ...kernels.catalog_filters import FilterName
from ...ops.conv3d import Conv3d
from ...ops.conv_transpose3d import ConvTranspose3d
from ..model import Graph, Node


def choose_algorithms(graph: Graph) -> Graph:
    """Return `graph` with the fastest algorithm for each convolution."""
    return replace(graph, nodes=tuple(_choose(node) for node in graph.nodes))


def algorithm_of(op: Conv3d | ConvTranspose3d) -> Algorithm:
    """Return the fastest algorithm of a layer."""
    if isinstance(op, ConvTranspose3d):
        return "winograd" if filters_of(op) else "direct"
    return choose_algorithm(op.kernel_size, op.stride, op.dilation, op.groups, op.in_channels, op.out_channels)


def filters_of(op: Conv3d | ConvTranspose3d) -> tuple[FilterName, ...]:
    """Return the minimal filters of the layer's axes, if they are worth while."""
    transposed = isinstance(op, ConvTranspose3d)
    return choose_filters(
        op.kernel_size, op.stride, op.dilation, op.groups, op.in_channels, op.out_channels, transposed
    )


def _choose(node: Node) -> Node:
    if not isinstance(node.op, Conv3d | ConvTranspose3d):
        return node
    return replace(node, algorithm=algorithm_of(node.op))

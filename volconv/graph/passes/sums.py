"""Puts the later of two summands first: a convolution adds what is there already to its own result, and does it too.

Which comes first decides one thing: the sign of the NaN where both are NaN. So it follows from the spec alone, not from
what the passes behind this one leave, which depends on the results asked for.
"""

from __future__ import annotations

from dataclasses import replace

from ...ops.add import Add
from ..model import INPUT, Graph, Node


def order_sums(graph: Graph) -> Graph:
    """Return `graph`, as the spec has it, with the inputs of every sum of two from the last computed to the first."""
    places = {name: n for n, name in enumerate((INPUT, *(node.name for node in graph.nodes)))}

    def ordered(node: Node) -> Node:
        if not isinstance(node.op, Add) or len(node.inputs) != 2:
            return node
        return replace(node, inputs=tuple(sorted(node.inputs, key=places.__getitem__, reverse=True)))

    return replace(graph, nodes=tuple(ordered(node) for node in graph.nodes))

"""Takes out stages that no output depends on: weights of a whole network, of which the first layers are wanted."""

from __future__ import annotations

from dataclasses import replace

from ..model import Graph, Node


def drop_unused(graph: Graph) -> Graph:
    """Return `graph` without the nodes that nothing wanted depends on."""
    wanted = set(graph.outputs)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            nodes.append(node)
    return replace(graph, nodes=tuple(reversed(nodes)))

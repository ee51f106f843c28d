"""Takes out stages that change nothing, where nobody asked for their result."""

from __future__ import annotations

from dataclasses import replace

from ..model import Graph, Node


def drop_identities(graph: Graph) -> Graph:
    """Return `graph` without its identities; their readers read what they read."""
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        if node.op.kernel == "copy" and node.name not in graph.outputs:
            renamed[node.name] = inputs[0]
        else:
            nodes.append(replace(node, inputs=inputs))
    return replace(graph, nodes=tuple(nodes))

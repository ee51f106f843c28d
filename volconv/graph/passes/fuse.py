"""Folds an affine or a norm, and an activation, into the store of the stage before: one sweep over memory, not three.

The arithmetic of each value is the same fused or not, so asking for the result in between changes no bit. Weights are
never changed: a norm before a convolution stays a stage of its own, for the border pads with zeros what it has made.
"""

from __future__ import annotations

from dataclasses import replace

from ...numeric import HALVES
from ...ops.activations import Activation
from ...ops.affine import Affine
from ...ops.batch_norm import BatchNorm
from ..model import Graph, Node

_HEADS = ("conv", "conv_transpose", "add", "arithmetic")
_SCALING = (Affine, BatchNorm)


def fuse_epilogues(graph: Graph) -> Graph:
    """Return `graph` with every chain convolution or sum → [affine or norm] → [activation] made one node."""
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        head = nodes.get(node.inputs[0]) if node.name in nodes and node.inputs else None
        if head is None or not _may_follow(head, node) or head.name in graph.outputs:
            continue
        if len([n for n in nodes.values() if head.name in n.inputs]) != 1:
            continue
        merged = replace(head, name=node.name, wire=node.wire, epilogue=(*head.epilogue, node))
        # the merged node takes the place of its last part: what it reads still comes before it
        nodes[node.name] = merged
        del nodes[head.name]
    order = [n.name for n in graph.nodes if n.name in nodes]
    return replace(graph, nodes=tuple(nodes[name] for name in order))


def _may_follow(head: Node, node: Node) -> bool:
    """Whether `node` fits behind `head`: at most one affine, then at most one activation."""
    if head.wire.dtype in HALVES:  # each stage's result is rounded
        return False
    done = [part.op for part in head.epilogue]
    if head.op.kernel == "pointwise":
        done = [head.op, *done]
    elif head.op.kernel not in _HEADS:
        return False
    if any(isinstance(op, Activation) for op in done):
        return False
    if isinstance(node.op, _SCALING):
        return not any(isinstance(op, _SCALING) for op in done)
    return isinstance(node.op, Activation)

"""Folds the sum of a convolution's result and another stage into the convolution: one sweep over memory less.

The kernel adds the other value to each of its own when it finishes that: the same two numbers in the same order, so no
bit of any result depends on it. That is why the plan may decide by layouts, which differ between processors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..graph.model import INPUT, Graph, Node
from ..kernels.catalog import IN_REGISTERS, ConvKernel
from ..numeric import HALVES
from ..ops.activations import Activation
from ..ops.add import Add
from .buffers import Form, written_layouts


def fuse_residuals(
    graph: Graph, kernels: Mapping[str, ConvKernel], given: Mapping[str, Form] | None = None
) -> tuple[Graph, dict[str, ConvKernel]]:
    """Return `graph` with every sum that a convolution can make fused into it, and the kernels by the names left.

    Such a sum has two inputs. The first is the convolution's result, which nobody else needs; the second is there
    before it and lies in memory as the result would: else it had to be copied. `given` says how stored wires lie.
    """
    layouts = written_layouts(graph, kernels, given or {})
    nodes, chosen = list(graph.nodes), dict(kernels)
    for node in graph.nodes:
        head, other = _find_head(graph, node, kernels) or (node, INPUT)
        if head is node or layouts[head.name] != layouts[other]:
            continue
        merged = replace(
            head,
            name=node.name,
            inputs=(*head.inputs, other),
            wire=node.wire,
            epilogue=(*head.epilogue, replace(node, epilogue=()), *node.epilogue),
        )
        # in the place of the first part: nothing that it reads is kept longer
        nodes[nodes.index(head)] = merged
        nodes.remove(node)
        chosen[node.name] = chosen.pop(head.name)
    return replace(graph, nodes=tuple(nodes)), chosen


def _find_head(graph: Graph, node: Node, kernels: Mapping[str, ConvKernel]) -> tuple[Node, str] | None:
    """Return the convolution that can make the sum `node`, and what it adds; None where there is none."""
    if not isinstance(node.op, Add) or len(node.inputs) != 2 or node.wire.dtype in HALVES:
        return None  # in half precision each stage's result is rounded
    name, other = node.inputs
    order = [*graph.sources, *(part.name for part in graph.nodes)]
    if name not in kernels or order.index(other) >= order.index(name):
        return None
    if name in (*graph.outputs, *graph.kept) or len(graph.consumers(name)) != 1:
        return None
    head = graph.node(name)
    if kernels[name].name == "sweep" or not _can_follow(head, node):
        return None
    return head, other


def _can_follow(head: Node, node: Node) -> bool:
    """Whether one epilogue holds what follows `head`, the sum, and what follows the sum.

    It has one scale and shift, before the sum, and one activation, which leaves the registers only behind it.
    """
    before = [part.op.kind for part in head.epilogue if isinstance(part.op, Activation)]
    after = [part.op for part in node.epilogue]
    if not all(isinstance(op, Activation) for op in after):
        return False
    return not before or (not after and before[0] in IN_REGISTERS)

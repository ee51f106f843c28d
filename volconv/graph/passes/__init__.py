"""Functions from graph to graph that change the work and never the meaning."""

from __future__ import annotations

from ..model import Graph, Node
from .algorithms import choose_algorithms
from .factor import factor_filters
from .fuse import fuse_epilogues
from .identity import drop_identities
from .sums import order_sums
from .unused import drop_unused

ALGORITHMS = ("auto", "direct")


def optimise(graph: Graph, algorithm: str = "auto") -> Graph:
    """Return `graph` with all passes applied; with `algorithm` ``direct`` none that reorders a sum."""
    graph = drop_identities(drop_unused(order_sums(graph)))
    if algorithm == "auto":
        graph = factor_filters(choose_algorithms(graph))
    return fuse_epilogues(graph)


def chain_names(node: Node) -> list[str]:
    """Return the operators a node stands for, as the spec calls them."""
    return [node.op_name, *(part.op_name for part in node.epilogue)]

"""Computes a graph whole, in float64, with the NumPy twins: the oracle for everything the engine does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.model import INPUT, Graph
from ..numeric import HALVES, round_to
from .naive_nodes import run_node

Floats = NDArray[np.float64]


def run_naive(graph: Graph, values: NDArray[Any], *, skip_outside: bool = False) -> dict[str, Floats]:
    """Return each output of `graph` for the whole input `values` (C, D, H, W), as (C, d, h, w) in float64.

    With `skip_outside`, zero padding is left out of the sums instead of multiplied: it matters for infinite weights.
    """
    wires: dict[str, Floats] = {INPUT: _kept(np.asarray(values, np.float64), graph.input.dtype)}
    for node in graph.nodes:
        result = run_node(node, [wires[name] for name in node.inputs], skip_outside=skip_outside)
        for part in node.epilogue:
            result = run_node(part, [result], skip_outside=skip_outside)
        wires[node.name] = _kept(result, node.wire.dtype)
    return {name: wires[name] for name in graph.outputs}


def _kept(values: Floats, dtype: str) -> Floats:
    """Return `values` as a wire of `dtype` keeps them: rounded for the halves."""
    return round_to(values, dtype).astype(np.float64) if dtype in HALVES else values

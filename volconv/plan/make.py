"""Puts the plan together."""

from __future__ import annotations

import itertools

from ..errors import RunError
from ..geometry import Triple
from ..graph.model import Graph
from .buffers import choose_kernels, lay_out
from .cost import Traffic
from .model import Plan
from .tiling import choose_tiles


def make_plan(
    graph: Graph,
    *,
    budget: int,
    traffic: Traffic,
    threads: int = 1,
    tile: Triple | None = None,
    batch: int = 1,
    description: str = "",
) -> Plan:
    """Return the plan for running `graph`.

    Parameters
    ----------
    graph : Graph
        After its passes.
    budget : int
        Bytes of resident memory the whole process may take.
    traffic : Traffic
        What the reader and the writers take.
    threads : int
        Threads at work, for the time estimate only.
    tile : tuple of int, optional
        Shape of a tile on the first output (D, H, W).
    batch : int
        Volumes one after the other.
    description : str
        What is run on what, for display.

    Raises
    ------
    BudgetError
        If the predicted peak exceeds `budget` however the volume is cut.
    """
    kernels = choose_kernels(graph)
    layouts = lay_out(graph, kernels)
    cuts, cost = choose_tiles(graph, layouts, kernels, traffic, budget, threads, tile)
    plan = Plan(
        graph,
        kernels,
        tuple(layouts.buffers.values()),
        tuple(layouts.steps),
        (cuts[0].edges, cuts[1].edges, cuts[2].edges),
        tuple(cut.windows for cut in cuts),
        cost.offsets,
        cost.arena_bytes,
        cost.peak_bytes,
        traffic.scratch_bytes,
        cost.seconds * batch,
        cost.macs * batch,
        batch,
        threads,
        description,
    )
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    """Assert the plan's own invariant: the tiles of each output cover it."""
    for edges in plan.edges:
        if edges[0] != 0 or any(b <= a for a, b in itertools.pairwise(edges)):
            raise RunError(f"plan with tile borders {edges}, expected rising ones from 0")

"""Puts the plan together."""

from __future__ import annotations

import contextlib
import itertools
from math import prod

from ..errors import BudgetError, RunError
from ..geometry import Triple
from ..graph.model import Graph
from ..graph.places import list_disagreements
from .buffers import choose_kernels, lay_out
from .cost import Traffic
from .model import Plan
from .residuals import fuse_residuals
from .tiling import Cuts, choose_tiles

_WORTH_OVERLAPPING = 1.1
"""How much more time smaller tiles may take, computed one by one, if reading and writing then go on beside."""


def make_plan(
    graph: Graph,
    *,
    budget: int,
    traffic: Traffic,
    threads: int = 1,
    tile: Triple | None = None,
    batch: int = 1,
    description: str = "",
    overlap: bool = False,
) -> Plan:
    """Return the plan for running `graph`.

    Parameters
    ----------
    graph : Graph
        After its passes; sums that convolutions can make are fused here.
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
    overlap : bool
        Whether to read and write while tiles are computed, where the budget and the number of tiles allow.

    Raises
    ------
    BudgetError
        If the predicted peak exceeds `budget` however the volume is cut.
    """
    notes = tuple(list_disagreements(graph))
    graph, kernels = fuse_residuals(graph, choose_kernels(graph))
    layouts = lay_out(graph, kernels)
    cuts, cost = choose_tiles(graph, layouts, kernels, traffic, budget, threads, tile)
    if overlap and batch * _count(cuts) > 1:
        with contextlib.suppress(BudgetError):
            others, dearer = choose_tiles(graph, layouts, kernels, traffic, budget, threads, tile, overlap=True)
            if dearer.seconds <= cost.seconds * _WORTH_OVERLAPPING and batch * _count(others) > 1:
                cuts, cost = others, dearer
    plan = Plan(
        graph,
        kernels,
        tuple(layouts.buffers.values()),
        tuple(layouts.steps),
        (cuts[0].edges, cuts[1].edges, cuts[2].edges),
        tuple(cut.windows for cut in cuts),
        cost.places.offsets,
        cost.arena_bytes,
        cost.peak_bytes,
        traffic.scratch_bytes,
        cost.seconds * batch,
        cost.macs * batch,
        batch,
        threads,
        description,
        cost.places.slots,
        notes=notes,
    )
    _check(plan)
    return plan


def _count(cuts: Cuts) -> int:
    return prod(len(cut.windows) for cut in cuts)


def _check(plan: Plan) -> None:
    """Assert the plan's own invariant: the tiles of each output cover it."""
    for edges in plan.edges:
        if edges[0] != 0 or any(b <= a for a, b in itertools.pairwise(edges)):
            raise RunError(f"plan with tile borders {edges}, expected rising ones from 0")

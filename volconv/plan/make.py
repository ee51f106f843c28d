"""Puts the plan together."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from ..errors import BudgetError, ResumeError, RunError
from ..geometry import Triple
from ..graph.model import INPUT, Graph
from ..graph.phases import has_phases
from ..graph.places import list_disagreements
from .buffers import Form, Layouts, choose_kernels, lay_out
from .cost import Traffic
from .model import Edges, Plan
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
    tile: Triple | str | None = None,
    batch: int = 1,
    description: str = "",
    overlap: bool = False,
    spill: bool = False,
    grids: Sequence[Edges] = (),
) -> Plan:
    """Return the plan for running `graph`, in phases where a stage needs all of its input.

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
    tile : tuple of int or ``"whole"``, optional
        Shape of a tile on the first output (D, H, W), of each phase on its largest result; cut to its size.
    batch : int
        Volumes one after the other.
    description : str
        What is run on what, for display.
    overlap : bool
        Whether to read and write while tiles are computed, where the budget and the number of tiles allow.
    spill : bool
        Whether what lies between phases may go to a scratch file.
    grids : sequence of three tuples of int, optional
        `Plan.grids` of an earlier plan of the graph, to be used again whatever `tile` and `budget` are.

    Raises
    ------
    BudgetError
        If the predicted peak exceeds `budget` however the volume is cut.
    """
    terms = Terms(budget, traffic, threads, tile, batch, description, overlap, tuple(grids))
    if has_phases(graph):
        from .phases import plan_phases

        plan = plan_phases(graph, terms, spill)
    else:
        plan = plan_part(graph, terms)
    return replace(plan, notes=tuple(list_disagreements(graph)))


@dataclass(frozen=True)
class Terms:
    """What `make_plan` is told beside the graph."""

    budget: int
    traffic: Traffic
    threads: int = 1
    tile: Triple | str | None = None
    batch: int = 1
    description: str = ""
    overlap: bool = False
    grids: tuple[Edges, ...] = ()

    def grid(self, number: int) -> Edges | None:
        """Return the tile borders that phase `number` is to use; None where it may choose."""
        return self.grids[number] if number < len(self.grids) else None


def plan_part(graph: Graph, terms: Terms, given: Mapping[str, Form] | None = None, number: int = 0) -> Plan:
    """Return the plan of what runs in tiles at once: a whole graph, or one phase, its stored wires as `given` says."""
    graph, kernels = fuse_residuals(graph, choose_kernels(graph), given)
    layouts = lay_out(graph, kernels, given)
    budget, traffic, threads, batch = terms.budget, terms.traffic, terms.threads, terms.batch
    tile, edges = _clamp(terms.tile, graph), terms.grid(number)
    if edges is not None:
        _check_edges(edges, graph)
    cuts, cost = choose_tiles(graph, layouts, kernels, traffic, budget, threads, tile, edges=edges)
    if terms.overlap and _exchanges(graph, layouts) and batch * _count(cuts) > 1:
        with contextlib.suppress(BudgetError):
            others, dearer = choose_tiles(graph, layouts, kernels, traffic, budget, threads, tile, True, edges)
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
        terms.description,
        cost.places.slots,
    )
    _check(plan)
    return plan


def _clamp(tile: Triple | str | None, graph: Graph) -> Triple | None:
    if tile is None:
        return None
    shape = graph.wire(graph.anchor).shape
    if isinstance(tile, str):
        return shape
    d, h, w = (min(t, s) for t, s in zip(tile, shape, strict=True))
    return (d, h, w)


def _exchanges(graph: Graph, layouts: Layouts) -> bool:
    """Return whether tiles read the volume or write an output: phases may do neither."""
    return bool(graph.outputs) or any(layouts.buffers[name].wire == INPUT for name in layouts.reads.values())


def _count(cuts: Cuts) -> int:
    return prod(len(cut.windows) for cut in cuts)


def _check(plan: Plan) -> None:
    """Assert the plan's own invariant: the tiles of each output cover it."""
    for edges in plan.edges:
        if edges[0] != 0 or any(b <= a for a, b in itertools.pairwise(edges)):
            raise RunError(f"plan with tile borders {edges}, expected rising ones from 0")


def _check_edges(edges: Edges, graph: Graph) -> None:
    """Raise `ResumeError` for tile borders, of an earlier plan, that cannot be those of `graph`."""
    for axis, length in zip(edges, graph.wire(graph.anchor).shape, strict=True):
        if axis[0] != 0 or axis[-1] != length or any(b <= a for a, b in itertools.pairwise(axis)):
            found = f"from {axis[0]} to {axis[-1]}"
            raise ResumeError(f"the job's tile borders go {found}, expected rising ones from 0 to {length}")

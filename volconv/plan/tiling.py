"""Chooses how to cut: the fastest tiles whose predicted peak fits the budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import inf, log

from ..errors import BudgetError
from ..geometry import Triple
from ..graph.model import Graph
from ..kernels.catalog import ConvKernel
from .buffers import Layouts
from .cost import AxisCut, Cost, Traffic, cut_axis, price
from .model import Edges

Counts = tuple[int, int, int]
Cuts = tuple[AxisCut, AxisCut, AxisCut]

MOST_CUTS = 2048
"""Tiles along an axis at most: what no disk holds must not keep the planner busy, or a header would be a trap."""


def format_bytes(size: float) -> str:
    """Return `size` in the largest fitting binary unit, as ``--memory`` takes it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.2f}GiB"


def fixed_edges(length: int, step: int) -> tuple[int, ...]:
    """Return the borders of tiles of `step` voxels, the last one shorter."""
    return (*range(0, length, step), length)


def even_edges(length: int, count: int) -> tuple[int, ...]:
    """Return the borders of `count` tiles as equal as whole voxels allow."""
    return tuple(length * i // count for i in range(count + 1))


def choose_tiles(
    graph: Graph,
    layouts: Layouts,
    kernels: Mapping[str, ConvKernel],
    traffic: Traffic,
    budget: int,
    threads: int,
    tile: Triple | None = None,
    overlap: bool = False,
    edges: Edges | None = None,
) -> tuple[Cuts, Cost]:
    """Return the cuts and their cost.

    Parameters
    ----------
    budget : int
        Bytes the predicted peak must not exceed.
    tile : tuple of int, optional
        Shape of the tiles on the first output; chosen where left out.
    overlap : bool
        As for `volconv.plan.memory.place_buffers`.
    edges : three tuples of int, optional
        Tile borders that are to be used, whatever `tile` is.

    Raises
    ------
    BudgetError
        If nothing fits, with the smallest budget that would.
    """
    shape = graph.wire(graph.anchor).shape
    fixed, what = edges, "the tiles that the job was begun with"
    if fixed is None and tile is not None:
        fixed = tuple(map(fixed_edges, shape, tile))  # type: ignore[assignment]
        what = f"tiles of {','.join(map(str, tile))}"
    if fixed is not None:
        cuts = tuple(cut_axis(graph, layouts, a, fixed[a]) for a in range(3))
        cost = price(graph, layouts, kernels, cuts, traffic, threads, overlap)  # type: ignore[arg-type]
        if cost.peak_bytes > budget:
            raise _too_small(budget, cost.peak_bytes, what)
        return cuts, cost  # type: ignore[return-value]

    @cache
    def cut(axis: int, count: int) -> AxisCut:
        return cut_axis(graph, layouts, axis, even_edges(shape[axis], count))

    @cache
    def cost_of(counts: Counts) -> Cost:
        return price(graph, layouts, kernels, _cuts(cut, counts), traffic, threads, overlap)

    counts = _descend(shape, cost_of, budget)
    return _cuts(cut, counts), cost_of(counts)


def _cuts(cut: Callable[[int, int], AxisCut], counts: Counts) -> Cuts:
    return (cut(0, counts[0]), cut(1, counts[1]), cut(2, counts[2]))


def _descend(shape: Triple, cost_of: Callable[[Counts], Cost], budget: int) -> Counts:
    """Cut finer step by step: first until it fits, giving up as little time as can be, then while it gets faster."""
    counts: Counts = (1, 1, 1)
    smallest = inf
    while True:
        here = cost_of(counts)
        smallest = min(smallest, here.peak_bytes)
        fits = here.peak_bytes <= budget
        finer = [c for axis in range(3) if (c := _finer(counts, axis, shape[axis])) is not None]
        if fits:
            better = [c for c in finer if cost_of(c).seconds < here.seconds and cost_of(c).peak_bytes <= budget]
            if not better:
                return counts
            counts = min(better, key=lambda c: cost_of(c).seconds)
        elif not finer:
            raise _too_small(budget, int(smallest), "the smallest tiles")
        else:
            counts = min(finer, key=lambda c: _price_of_shrinking(here, cost_of(c)))


def _price_of_shrinking(here: Cost, there: Cost) -> float:
    """Return the seconds a step costs for each factor of memory it saves; steps that save nothing come last."""
    saved = log(max(here.arena_bytes, 1) / max(there.arena_bytes, 1))
    lost = max(there.seconds - here.seconds, 1e-9)
    return lost / saved if saved > 1e-6 else 1e9 + lost


def _finer(counts: Counts, axis: int, length: int) -> Counts | None:
    most = min(length, MOST_CUTS)
    if counts[axis] >= most:
        return None
    finer = list(counts)
    finer[axis] = min(most, max(counts[axis] + 1, counts[axis] * 4 // 3))
    return (finer[0], finer[1], finer[2])


def _too_small(budget: int, needed: int, what: str) -> BudgetError:
    error = BudgetError(
        f"memory budget {format_bytes(budget)} does not suffice: {what} need {format_bytes(needed)}; "
        f"give --memory {-(-needed // 2**20)}MiB or more"
    )
    error.needed = needed
    return error

"""Plans a run in phases: one plan each, and where the wires between them are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from ..errors import BudgetError
from ..graph.model import Graph
from ..graph.phases import Phase, split_phases
from ..kernels.catalog_memory import sum_bytes
from ..numeric import compute_dtype
from ..ops.global_pool import GlobalPool
from .buffers import Form, choose_kernels, lay_out
from .cost import START_SECONDS, weight_bytes
from .make import Terms, plan_part
from .memory import place
from .model import Plan, Store
from .residuals import fuse_residuals

_KEEP_SHARE = 0.5
"""Of the budget beside the process itself: what stored wires may take before they go to the scratch file."""


@dataclass(frozen=True)
class _Draft:
    """A phase, how what it reads lies in memory, and what its weights take."""

    phase: Phase
    given: Mapping[str, Form]
    weight_bytes: int


def plan_phases(graph: Graph, terms: Terms, spill: bool) -> Plan:
    """Return the plan of a graph that takes several phases.

    Raises
    ------
    BudgetError
        If the predicted peak exceeds the budget, whatever lies in the scratch file and however volumes are cut.
    """
    drafts, stores = _draft(graph)
    free = terms.budget - terms.traffic.baseline_bytes - terms.traffic.resident_bytes
    on_disk: set[str] = set()
    while spill and _peak_held(stores, on_disk, len(drafts)) > free * _KEEP_SHARE:
        if not _spill_one(stores, on_disk, len(drafts)):
            break
    while True:
        placed = _place(stores, on_disk)
        plans, errors = _plan_each(drafts, placed, terms)
        if not errors:
            return _join(graph, plans, placed, terms)
        if not spill or not _spill_one(stores, on_disk, len(drafts)):
            raise max(errors, key=lambda error: error.needed)


def _draft(graph: Graph) -> tuple[list[_Draft], list[Store]]:
    """Return the phases with the layouts that their wires are stored in, and the stores, all in memory."""
    itemsize = 8 if graph.input.dtype == "float64" else 4
    phases = split_phases(graph)
    last = {name: n for n, phase in enumerate(phases) for name in phase.graph.stored}
    forms: dict[str, Form] = {}
    drafts: list[_Draft] = []
    stores: list[Store] = []

    def store(name: str, form: Form, born: int) -> None:
        forms[name] = form
        shape = graph.wire(name).shape
        nbytes = prod(shape) * form[1] * itemsize
        stores.append(Store(name, shape, *form, nbytes, born, last[name]))

    for n, phase in enumerate(phases):
        given = {name: forms[name] for name in phase.graph.stored}
        part, kernels = fuse_residuals(phase.graph, choose_kernels(phase.graph), given)
        layouts = lay_out(part, kernels, given)
        drafts.append(_Draft(phase, given, weight_bytes(part, kernels)))
        for name in phase.keeps:
            buffer = layouts.buffers[layouts.keeps[name]]
            store(name, (buffer.layout, buffer.channels), n)
        for node in phase.ends:
            if isinstance(node.op, GlobalPool):
                store(node.name, ("first", node.wire.channels), n)
    return drafts, stores


def _held(stores: Sequence[Store], on_disk: set[str], phase: int) -> list[Store]:
    """Return the stores in memory while `phase` runs."""
    return [s for s in stores if s.born <= phase <= s.last and s.wire not in on_disk]


def _peak_held(stores: Sequence[Store], on_disk: set[str], phases: int) -> int:
    return max(sum(s.nbytes for s in _held(stores, on_disk, n)) for n in range(phases))


def _spill_one(stores: Sequence[Store], on_disk: set[str], phases: int) -> bool:
    """Add the largest store of the fullest phase to `on_disk`; return False where there is none."""
    fullest = max((_held(stores, on_disk, n) for n in range(phases)), key=lambda held: sum(s.nbytes for s in held))
    if not fullest:
        return False
    on_disk.add(max(fullest, key=lambda s: (s.nbytes, s.last - s.born)).wire)
    return True


def _place(stores: Sequence[Store], on_disk: set[str]) -> list[Store]:
    """Return the stores with those `on_disk` placed in the scratch file; lives that do not meet share it."""
    chosen = [s for s in stores if s.wire in on_disk]
    offsets, _ = place({s.wire: s.nbytes for s in chosen}, {s.wire: (s.born, s.last) for s in chosen})
    return [replace(s, offset=offsets.get(s.wire)) for s in stores]


def scratch_end(stores: Sequence[Store]) -> int:
    """Return the bytes of the scratch file."""
    return max((s.offset + s.nbytes for s in stores if s.offset is not None), default=0)


def _plan_each(drafts: Sequence[_Draft], stores: Sequence[Store], terms: Terms) -> tuple[list[Plan], list[BudgetError]]:
    """Return the plan of every phase that fits the budget, and what is wrong with the others."""
    plans: list[Plan] = []
    errors: list[BudgetError] = []
    for number in range(len(drafts)):
        try:
            plans.append(_plan_phase(number, drafts, stores, terms))
        except BudgetError as error:
            errors.append(error)
    return plans, errors


def _plan_phase(number: int, drafts: Sequence[_Draft], stores: Sequence[Store], terms: Terms) -> Plan:
    phase, traffic = drafts[number].phase, terms.traffic
    held = sum(s.nbytes for s in stores if s.born <= number <= s.last and s.offset is None)
    others = sum(draft.weight_bytes for n, draft in enumerate(drafts) if n != number)
    dtype = compute_dtype(phase.graph.input.dtype)
    sums = sum(sum_bytes(dtype, phase.graph.wire(name).channels, terms.threads) for name in phase.gathers)
    beside = replace(
        traffic,
        resident_bytes=traffic.resident_bytes + held + others + sums,
        seconds=0.0 if number else traffic.seconds,
    )
    plan = plan_part(phase.graph, replace(terms, traffic=beside), drafts[number].given, number)
    return replace(plan, part=phase, stores=tuple(stores))


def _join(graph: Graph, plans: Sequence[Plan], stores: Sequence[Store], terms: Terms) -> Plan:
    """Return the plan of the whole run."""
    planned = {node.name: node for plan in plans for node in plan.graph.nodes}  # sums are parts of convolutions there
    whole = [
        planned.get(node.name, node) for node in graph.nodes if node.name in planned or isinstance(node.op, GlobalPool)
    ]
    return replace(
        plans[-1],
        graph=replace(graph, nodes=tuple(whole)),
        kernels={name: kernel for plan in plans for name, kernel in plan.kernels.items()},
        arena_bytes=max(plan.arena_bytes for plan in plans),
        peak_bytes=max(plan.peak_bytes for plan in plans),
        scratch_bytes=terms.traffic.scratch_bytes + scratch_end(stores),
        seconds=sum(plan.seconds for plan in plans) - START_SECONDS * terms.batch * (len(plans) - 1),
        macs=sum(plan.macs for plan in plans),
        phases=tuple(plans),
        part=None,
        stores=tuple(stores),
    )

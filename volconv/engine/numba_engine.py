"""Runs a plan's tiles with the compiled kernels: addresses in, results in the arena. The rules are the plan's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.model import INPUT
from ..kernels.borders import border_specs
from ..kernels.copies import copy_specs, run_copy
from ..kernels.halves import half_specs, run_round
from ..kernels.jit import KernelSpec, set_threads
from ..numeric import HALVES, compute_dtype
from ..plan.model import Plan, Step, Tile
from ..region import Region
from .arena import Arena, View, allot
from .base import Read, Write
from .borders import fill_borders
from .compiling import make_ready
from .ends import Ends, view_array, within
from .nodes.base import BoundNode, run_plain
from .nodes.registry import find_family

_HUGE_PAGES = 8 << 20
"""Bytes from which NumPy asks for huge pages, and gets some; pages that no kernel touches take no memory."""


class NumbaEngine:
    """The engine of ordinary runs.

    Parameters
    ----------
    threads : int
        For kernels.
    on_compile : callable, optional
        Called with the number of kernels before they are compiled, if any must be.
    jobs : int
        Processes that compile at a time.
    """

    def __init__(self, threads: int, on_compile: Callable[[int], None] | None = None, jobs: int = 1) -> None:
        self.threads = set_threads(threads)
        self._on_compile = on_compile
        self._jobs = jobs
        self.bound: dict[str, BoundNode] = {}

    def prepare(self, plan: Plan) -> None:
        """Bind every node's weights to its kernel, compile what the cache lacks, allot the arena."""
        self.plan = plan
        self._nodes = {node.name: node for node in plan.graph.nodes}
        make_ready(needed_kernels(plan), self._on_compile, self._jobs)
        for node in plan.graph.nodes:
            self.bound[node.name] = find_family(node).bind(node, plan)
        self._shapes = {buffer.name: plan.graph.wire(buffer.wire) for buffer in plan.buffers}
        self._modes = {buffer.name: buffer.mode for buffer in plan.buffers}
        self.arena = Arena(plan)
        self._scratch = _make_scratch(self.bound, self.threads, self.arena.flat.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes held since `prepare`: arena, working memory, packed weights."""
        return int(self.arena.flat.nbytes + self._scratch.nbytes + sum(node.nbytes for node in self.bound.values()))

    def window(self, tile: Tile, slot: int) -> tuple[Region, NDArray[Any]]:
        """Return what `tile` needs of the input, and the array (C, d, h, w) that `run_tile` expects it in."""
        name = next(step.target for step in self.plan.steps if step.kind == "read")
        view = self.arena.view(name, tile.cell, slot)
        return view.inner, self.arena.array(view, view.inner)

    def run_tile(self, tile: Tile, read: Read, write: Write, slot: int = 0) -> None:
        """Compute `tile`: every step of the plan, in order."""
        views = {buffer.name: self.arena.view(buffer.name, tile.cell, slot) for buffer in self.plan.buffers}

        def store(name: str, region: Region, view: View) -> None:
            channels = self._nodes[name].wire.channels if name in self._nodes else None
            write(name, region, self.arena.array(view, region, channels))

        self._run_steps(tile, views, read, store)

    def run_between(self, tile: Tile, ends: Ends, read: Read) -> None:
        """Compute `tile` from array to array; `read` is asked only where `ends` has no input."""
        views = {buffer.name: self.arena.view(buffer.name, tile.cell) for buffer in self.plan.buffers}
        views |= ends.targets(self.plan, tile, views)
        source = ends.source()
        if source is not None and (self._takes_voxels(INPUT) or self._reads_anywhere(INPUT, source)):
            views[INPUT] = source  # nobody needs it copied

        def store(name: str, region: Region, view: View) -> None:
            result = view_array(ends.results[name])
            if view.flat is not self.arena.flat:
                return
            run_plain(run_copy, view, within(result, region), result.channels)

        self._run_steps(tile, views, read if source is None else source, store)

    def _run_steps(
        self, tile: Tile, views: dict[str, View], read: Read | View, store: Callable[[str, Region, View], None]
    ) -> None:
        for step in self.plan.steps:
            if step.kind == "write":
                region = tile.writes[step.node]
                if not region.is_empty:
                    store(step.node, region, views[step.sources[0]])
                continue
            target = views[step.target]
            if not target.inner.is_empty:
                self._fill(step, views, target, read)
                self._round(step, target)
            fill_borders(target.flat, target, self._modes[step.target], self._shapes[step.target].shape)

    def _takes_voxels(self, name: str) -> bool:
        """Return whether each reader of buffer `name` takes single voxels as they are: no neighbours, none rounded."""
        kernels = {
            self._nodes[step.node].op.kernel if step.kind == "node" else step.kind
            for step in self.plan.steps
            if name in step.sources
        }
        return kernels <= {"copy", "pointwise"} and self._shapes[name].dtype not in HALVES

    def _reads_anywhere(self, name: str, source: View) -> bool:
        """Return whether each reader of buffer `name` is a convolution that reads its voxels, no border, nothing else.

        Neighbours lie side by side along x or the channels, else a copy pays.
        """
        kernels, wire = self.plan.kernels, self._shapes[name]
        readers = [step.node for step in self.plan.steps if name in step.sources]
        alone = all(reader in kernels and kernels[reader].name == "last" for reader in readers)
        plain = self._modes[name] is None and wire.dtype not in HALVES
        return alone and plain and 1 in (source.steps[0], source.steps[3])

    def _round(self, step: Step, target: View) -> None:
        """Round what has just been read or computed, where it is kept in half precision; copies are rounded already."""
        dtype = self._shapes[step.target].dtype
        if dtype in HALVES and step.kind != "copy":
            region = target.inner
            start = target.at(region.start)
            run_round(dtype, target.flat, start, target.steps, region.shape, target.channels)

    def _fill(self, step: Step, views: dict[str, View], target: View, read: Read | View) -> None:
        """Fill the inner part of `target`."""
        if step.kind == "read":
            if isinstance(read, View):
                if target is not read:
                    run_plain(run_copy, read, target, read.channels)
                return
            read(target.inner, self.arena.array(target, target.inner))
            return
        source = views[step.sources[0]]
        if step.kind == "copy":
            run_plain(run_copy, source, target, min(source.channels, target.channels))
            return
        self.bound[step.node].run([views[name] for name in step.sources], target, self._scratch)


def _make_scratch(bound: Mapping[str, BoundNode], threads: int, dtype: Any) -> NDArray[Any]:
    """Return the kernels' working memory for `threads`: one piece, since they run one after the other."""
    most = max((node.scratch_elements(threads) for node in bound.values()), default=0)
    return allot(max(most, _HUGE_PAGES // np.dtype(dtype).itemsize) if most else 0, dtype)


def needed_kernels(plan: Plan) -> list[KernelSpec]:
    """Return every kernel that running `plan` needs."""
    specs: list[KernelSpec] = []
    for node in plan.graph.nodes:
        specs.extend(find_family(node).kernels(node, plan))
    if any(step.kind == "copy" for step in plan.steps):
        specs.extend(copy_specs(compute_dtype(plan.graph.input.dtype)))
    modes = {buffer.mode for buffer in plan.buffers} - {None}
    if modes:
        specs.extend(border_specs(compute_dtype(plan.graph.input.dtype), copies=modes != {"zeros"}))
    if plan.graph.input.dtype in HALVES:
        specs.extend(half_specs(plan.graph.input.dtype))
    return specs

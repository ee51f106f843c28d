"""Runs a plan's tiles with the compiled kernels: addresses in, results in the arena. The rules are the plan's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..graph.model import INPUT, Node
from ..kernels.borders import border_specs
from ..kernels.copies import copy_specs, run_copy
from ..kernels.halves import half_specs, run_round
from ..kernels.jit import KernelSpec, set_threads
from ..numeric import HALVES, compute_dtype
from ..ops.base import is_global
from ..plan.model import Plan, Step, Tile
from ..plan.tiling import format_bytes
from ..region import Region
from .arena import Arena, View, allot
from .base import Read, Write
from .borders import fill_borders
from .compiling import make_ready
from .ends import Ends, view_array, within
from .gathering import Gathered
from .nodes.base import BoundNode, run_plain
from .nodes.registry import find_family
from .stores import AnyStore, FileStore, MemoryStore, array, in_memory_order

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

    Attributes
    ----------
    on_store : callable or None
        Called with the name and the region of what a tile stores for later phases, and the values: (C, d, h, w) or
        (d, h, w, C) as they lie in the store, channels that fill up the kernel's vectors with them.
    """

    def __init__(self, threads: int, on_compile: Callable[[int], None] | None = None, jobs: int = 1) -> None:
        self.threads = set_threads(threads)
        self._on_compile = on_compile
        self._jobs = jobs
        self.bound: dict[str, BoundNode] = {}
        self.stores: Mapping[str, AnyStore] = {}
        self.gathered: Mapping[str, Gathered] = {}
        self.on_store: Callable[[str, Region, NDArray[Any]], None] | None = None
        self._room: int = 0

    def prepare(self, plan: Plan) -> None:
        """Bind every node's weights to its kernel, compile what the cache lacks, allot the arena."""
        make_ready(needed_kernels(plan), self._on_compile, self._jobs)
        self.bind(plan)
        self.allot()

    def bind(self, plan: Plan) -> None:
        """Bind every node's weights to its kernel; norms that wait for statistics are bound by `settle`."""
        self.plan = plan
        self._nodes = {node.name: node for node in plan.graph.nodes}
        for node in plan.graph.nodes:
            if not is_global(node.op):
                self.bound[node.name] = find_family(node).bind(node, plan)
        self._shapes = {buffer.name: plan.graph.wire(buffer.wire) for buffer in plan.buffers}
        self._modes = {buffer.name: buffer.mode for buffer in plan.buffers}

    def settle(self, nodes: Mapping[str, Node]) -> None:
        """Bind those of the plan's norms that `nodes` has, with their statistics."""
        for name in self._nodes:
            if name in nodes:
                self.bound[name] = find_family(nodes[name]).bind(nodes[name], self.plan)

    def allot(self) -> None:
        """Allot the arena and the kernels' working memory.

        Raises
        ------
        RunError
            There is none.
        """
        try:
            self.arena = Arena(self.plan)
            self._scratch = _make_scratch(self.bound, self.threads, self.arena.flat.dtype)
        except MemoryError as error:
            raise RunError(
                f"no memory for tiles, which take {format_bytes(self.plan.arena_bytes)} of the "
                f"{format_bytes(self.plan.peak_bytes)} that the plan needs; give a smaller --memory",
                code="memory.exhausted",
            ) from error
        self._room = int(self.arena.flat.nbytes + self._scratch.nbytes)

    def release(self) -> None:
        """Give back what `allot` allotted."""
        if self._room:
            del self.arena, self._scratch
            self._room = 0

    @contextmanager
    def phase(self, number: int) -> Iterator[NumbaEngine]:  # noqa: ARG002
        """Yield this engine: an ordinary plan is a phase by itself."""
        yield self

    @property
    def nbytes(self) -> int:
        """Bytes held now: arena, working memory, packed weights."""
        return self._room + sum(node.nbytes for node in self.bound.values())

    def window(self, tile: Tile, slot: int) -> tuple[Region, NDArray[Any]]:
        """Return what `tile` needs of the input, and the array (C, d, h, w) that `run_tile` expects it in."""
        name = next(step.target for step in self.plan.steps if step.kind == "read")
        view = self.arena.view(name, tile.cell, slot)
        return view.inner, self.arena.array(view, view.inner)

    def run_tile(self, tile: Tile, read: Read, write: Write, slot: int = 0) -> None:
        """Compute `tile`: every step of the plan, in order."""
        views = {buffer.name: self.arena.view(buffer.name, tile.cell, slot) for buffer in self.plan.buffers}

        def store(name: str, region: Region, view: View) -> None:
            write(name, region, array(view, region, self.plan.graph.wire(name).channels))

        self._run_steps(tile, views | self._find_stored(tile, views), read, store)

    def run_between(self, tile: Tile, ends: Ends, read: Read) -> None:
        """Compute `tile` from array to array; `read` is asked only where `ends` has no input."""
        views = {buffer.name: self.arena.view(buffer.name, tile.cell) for buffer in self.plan.buffers}
        views |= ends.targets(self.plan, tile, views) | self._find_stored(tile, views)
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
            if step.kind == "keep":
                self._keep(step.node, tile.writes[step.node], views[step.sources[0]])
                continue
            target = views[step.target]
            if not target.inner.is_empty:
                self._fill(step, views, target, read)
                self._round(step, target)
            fill_borders(target.flat, target, self._modes[step.target], self._shapes[step.target].shape)

    def _find_stored(self, tile: Tile, views: Mapping[str, View]) -> dict[str, View]:
        """Return the buffers of `tile` that can lie in stores in memory, read or written there without a copy."""
        found: dict[str, View] = {}
        for step in self.plan.steps if self.stores else ():
            store = self.stores.get(step.node)
            if not isinstance(store, MemoryStore):
                continue
            if step.kind == "read":
                if self._takes_voxels(step.target) or self._reads_anywhere(step.target, store.view):
                    found[step.target] = store.view
            elif step.kind == "keep" and step.node in self._nodes:
                name, region = step.sources[0], tile.writes[step.node]
                alone = sum(name in other.sources for other in self.plan.steps) == 1
                if alone and not region.is_empty and views[name].box == views[name].inner == region:
                    found[name] = within(store.view, region)
        return found

    def _keep(self, name: str, region: Region, view: View) -> None:
        """Store `region` of the wire `name`, which lies in `view`, and add it to its statistics, as is wanted."""
        if region.is_empty:
            return
        self._store(name, region, view)
        if name in self.gathered:
            self.gathered[name].add(view, region)

    def _store(self, name: str, region: Region, view: View) -> None:
        store = self.stores.get(name) if name in self._nodes else None  # a stored wire that is gathered stays there
        if store is None:
            return
        if isinstance(store, FileStore):
            store.write(view, region)
        elif view.flat is not store.view.flat:
            run_plain(run_copy, view, within(store.view, region), store.view.channels)
        if self.on_store is not None:
            self.on_store(name, region, in_memory_order(view, region))

    def restore(self, tile: Tile, name: str, read: Callable[[NDArray[Any]], None]) -> None:
        """Store `tile`'s part of the wire `name` as `read` brings it, what `on_store` was told when it was computed."""
        region = tile.writes[name]
        if not region.is_empty:
            home = next(step.sources[0] for step in self.plan.steps if step.kind == "keep" and step.node == name)
            view = self.arena.view(home, tile.cell)
            read(in_memory_order(view, region))
            self._store(name, region, view)

    def _takes_voxels(self, name: str) -> bool:
        """Return whether each reader of buffer `name` takes single voxels as they are: no neighbours, none rounded."""
        kernels = {
            self._nodes[step.node].op.kernel if step.kind == "node" else step.kind
            for step in self.plan.steps
            if name in step.sources
        }
        return (
            kernels <= {"concat", "copy", "layer_norm", "pointwise", "slice"} and self._shapes[name].dtype not in HALVES
        )

    def _reads_anywhere(self, name: str, source: View) -> bool:
        """Return whether each reader of buffer `name` is a convolution that reads its voxels, no border, nothing else.

        Neighbours lie side by side along x or the channels, else a copy pays.
        """
        kernels, wire = self.plan.kernels, self._shapes[name]
        readers = [(step.node, step.sources) for step in self.plan.steps if name in step.sources]
        alone = all(
            reader in kernels and kernels[reader].name == "last" and name not in sources[1:]  # no residual
            for reader, sources in readers
        )
        plain = self._modes[name] is None and wire.dtype not in HALVES
        return alone and plain and 1 in (source.steps[0], source.steps[3])

    def _round(self, step: Step, target: View) -> None:
        """Round what has just been read or computed, where it is kept in half precision; copies are rounded already."""
        wire = self._shapes[step.target]
        dtype = wire.dtype
        if dtype in HALVES and step.kind != "copy" and not wire.labels:
            region = target.inner
            start = target.at(region.start)
            run_round(dtype, target.flat, start, target.steps, region.shape, target.channels)

    def _fill(self, step: Step, views: dict[str, View], target: View, read: Read | View) -> None:
        """Fill the inner part of `target`."""
        if step.kind == "read":
            store = self.stores.get(step.node)
            if isinstance(store, FileStore):
                store.read(target, target.inner)
                return
            if store is not None:
                read = store.view
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

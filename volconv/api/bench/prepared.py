"""A row ready to run in the engine: planned and bound once, buffers in use, no files.

A layer is timed as it stands inside a network: it reads the buffer, borders included, that a convolution before it
would have written, in that one's layout, and leaves its result where the next would read it. A network is timed from
array to array. What is computed and how is the plan's choice alone.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.compiling import compile_jobs
from ...engine.numba_engine import NumbaEngine
from ...graph.model import INPUT, Graph, Node
from ...graph.passes import optimise
from ...ops.conv3d import Conv3d
from ...plan.cost import Traffic
from ...plan.make import make_plan
from ...plan.model import Plan, Step
from ...region import Region
from ...settings import memory_budget

Array = NDArray[Any]
_BEFORE = "before"


class Prepared:
    """A graph bound to the engine.

    Parameters
    ----------
    graph : Graph
        Before any pass.
    volume : (C, D, H, W) array
        The input, float32.
    threads : int
    is_part : bool
        Whether this is a part of a network, so that reading and writing arrays is left out of the time.
    """

    def __init__(self, graph: Graph, volume: Array, threads: int, is_part: bool) -> None:
        budget = memory_budget()
        self.is_part = is_part
        self.plan = self._plan(optimise(graph), threads, budget)
        self.engine = NumbaEngine(threads, jobs=compile_jobs(threads, budget))
        self.engine.prepare(self.plan)
        self._volume = volume
        wire = graph.wire(graph.outputs[0])
        self.out: Array = np.empty((wire.channels, *wire.shape), np.float32)
        self._last = next(step.target for step in reversed(self.plan.steps) if step.kind not in ("copy", "write"))
        self._reading = 0.0

    def _plan(self, graph: Graph, threads: int, budget: int) -> Plan:
        tile = graph.wire(graph.outputs[0]).shape if self.is_part else None  # a part is no reason to cut a volume
        plan = make_plan(graph, budget=budget, traffic=Traffic(), threads=threads, tile=tile)
        if not self.is_part:
            return plan
        if graph.input.channels > 1:
            behind = make_plan(put_before(graph), budget=budget, traffic=Traffic(), threads=threads, tile=tile)
            plan = start_behind(behind) or plan
        return stop_early(plan)

    def run(self) -> float:
        """Run every tile and return the seconds."""
        self._reading = 0.0
        start = time.perf_counter()
        for tile in self.plan.tiles:
            self.engine.run_tile(tile, self._read, self._write)
        return time.perf_counter() - start - (self._reading if self.is_part else 0.0)

    def fetch(self) -> Array:
        """Run once and return the result (C, d, h, w)."""
        for tile in self.plan.tiles:
            self.engine.run_tile(tile, self._read, self._write)
            if self.is_part:
                view = self.engine.arena.view(self._last, tile.cell)
                self._write("", view.inner, self.engine.arena.array(view, view.inner, len(self.out)))
        return self.out

    def _read(self, region: Region, out: Array) -> None:
        start = time.perf_counter()
        channels = len(self._volume)
        out[:channels] = self._volume[(slice(None), *region.slices())]
        out[channels:] = 0
        self._reading += time.perf_counter() - start

    def _write(self, name: str, region: Region, values: Array) -> None:
        del name
        self.out[(slice(None), *region.slices())] = values


def put_before(graph: Graph) -> Graph:
    """Return `graph` behind a convolution that hands its input on, in the layout such a one writes."""
    channels = graph.input.channels
    op = Conv3d(channels, channels, (1, 1, 1), bias=False)
    weight = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1, 1)
    before = Node(_BEFORE, "Conv3d", op, (INPUT,), op.out_wire((graph.input,)), {"weight": weight})
    nodes = [replace(n, inputs=tuple(_BEFORE if i == INPUT else i for i in n.inputs)) for n in graph.nodes]
    return replace(graph, nodes=(before, *nodes))


def start_behind(plan: Plan) -> Plan | None:
    """Return `plan` with the buffer of `put_before`'s node read instead of computed; None where that pays no reader.

    It pays unless the result is copied into another layout first: then the layer prefers what the reader fills.
    """
    places = [n for n, step in enumerate(plan.steps) if step.kind == "node" and step.node == _BEFORE]
    if len(places) != 1 or any(step.kind == "copy" and step.sources == (_BEFORE,) for step in plan.steps):
        return None
    return replace(plan, steps=(Step("read", plan.steps[places[0]].target), *plan.steps[places[0] + 1 :]))


def stop_early(plan: Plan) -> Plan:
    """Return `plan` without the steps behind its last stage: copies into a writer's layout, and writing."""
    steps = list(plan.steps)
    while steps[-1].kind in ("copy", "write"):
        steps.pop()
    return replace(plan, steps=tuple(steps))

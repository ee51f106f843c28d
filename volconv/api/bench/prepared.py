"""A row ready to run in the engine: planned and bound once, buffers in use, no files.

A layer is timed as it stands inside a network: it reads the buffer, borders included, that the stage before it would
have written, in whichever layout spares it a copy, and leaves its result where the next would read it. A network is
timed from array to array. What is computed and how is the plan's choice alone.
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
        self.plan = self._plan(graph, threads, budget)
        self.engine = NumbaEngine(threads, jobs=max(1, compile_jobs(threads, budget)))
        self.engine.prepare(self.plan)
        self._volume = volume
        wire = graph.wire(graph.outputs[0])
        self.out: Array = np.empty((wire.channels, *wire.shape), np.float32)
        self._last = next(step.target for step in reversed(self.plan.steps) if step.kind not in ("copy", "write"))
        self._reading = 0.0

    def _plan(self, graph: Graph, threads: int, budget: int) -> Plan:
        if not self.is_part:
            return make_plan(optimise(graph), budget=budget, traffic=Traffic(), threads=threads)
        graphs = [put_before(graph, kernel) for kernel in (3, 1)] if graph.input.channels > 1 else []
        whole = graph.wire(graph.outputs[0]).shape  # a part is no reason to cut a volume
        plans = [
            start_late(make_plan(optimise(g), budget=budget, traffic=Traffic(), threads=threads, tile=whole))
            for g in (*graphs, graph)
        ]
        return min(plans, key=lambda plan: sum(step.kind == "copy" for step in plan.steps))

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


def put_before(graph: Graph, kernel: int) -> Graph:
    """Return `graph` behind a convolution of `kernel`³ that hands its input on, in the layout such a one writes."""
    channels, middle = graph.input.channels, kernel // 2
    op = Conv3d(channels, channels, (kernel,) * 3, pad_low=(middle,) * 3, pad_high=(middle,) * 3, bias=False)
    weight = np.zeros((channels, channels, kernel, kernel, kernel), np.float32)
    weight[range(channels), range(channels), middle, middle, middle] = 1
    before = Node(_BEFORE, "Conv3d", op, (INPUT,), op.out_wire((graph.input,)), {"weight": weight})
    nodes = [replace(n, inputs=tuple(_BEFORE if i == INPUT else i for i in n.inputs)) for n in graph.nodes]
    return replace(graph, nodes=(before, *nodes))


def start_late(plan: Plan) -> Plan:
    """Return `plan` as it stands inside a network.

    What `put_before`'s node gives is read instead of computed, and the steps behind the last stage are left out: copies
    into a writer's layout, and writing.
    """
    steps = list(plan.steps)
    while steps[-1].kind in ("copy", "write"):
        steps.pop()
    for n, step in enumerate(steps):
        if step.kind == "node" and step.node == _BEFORE:
            steps = [Step("read", step.target), *steps[n + 1 :]]
            break
    return replace(plan, steps=tuple(steps))

"""Runs a graph on arrays: what the Python interface and the tests call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..formats.in_memory import ArraySink, ArraySource
from ..geometry import Triple
from ..graph.model import Graph
from ..numeric import compute_dtype
from ..plan.cost import Traffic
from ..plan.make import make_plan
from ..volume import OutputInfo
from .events import ignore
from .serial import execute


def run_graph(
    graph: Graph, source: ArraySource, budget: int, threads: int, tile: Triple | str | None = None
) -> dict[str, NDArray[Any]]:
    """Return each output of `graph` for the array of `source`, in the compute type."""
    from ..engine.compiling import compile_jobs
    from ..engine.numba_engine import NumbaEngine

    shape = graph.wire(graph.outputs[0]).shape
    if tile is not None:
        d, h, w = shape if isinstance(tile, str) else (min(t, s) for t, s in zip(tile, shape, strict=True))
        tile = (d, h, w)
    plan = make_plan(
        graph, budget=budget, traffic=Traffic(), threads=threads, tile=tile or None, batch=source.info.batch
    )
    dtype = np.dtype(compute_dtype(graph.input.dtype))
    sinks = {}
    for name in graph.outputs:
        wire = graph.wire(name)
        info = OutputInfo(wire.shape, wire.channels, dtype, source.info, wire.voxel_map, source.info.batch)
        sinks[name] = ArraySink(info)
    engine = NumbaEngine(threads, jobs=compile_jobs(threads, budget))
    engine.prepare(plan)
    for sink in sinks.values():
        sink.create()
    execute(plan, engine, source, {name: [sink] for name, sink in sinks.items()}, ignore)
    results = {}
    for name, sink in sinks.items():
        sink.finish()
        if sink.array is None:
            raise RunError(f"no result for {name}")
        results[name] = sink.array
    return results

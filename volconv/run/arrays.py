"""Runs a graph on arrays: what the Python interface and the tests call."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..formats.in_memory import ArraySource
from ..geometry import Triple
from ..graph.model import Graph
from ..graph.trailing import split_trailing
from ..kernels.copies import copy_specs
from ..kernels.jit import set_threads
from ..numeric import compute_dtype
from ..plan.cost import Traffic
from ..plan.make import make_plan
from ..region import Region
from .label_maps import check_installed, finishing_bytes, gather_labels, gathered_bytes
from .reuse import ResultMemory
from .serial import explain_memory

Array = NDArray[Any]


class ArrayRun:
    """A graph planned and bound for arrays of one shape; it may be called any number of times, from any thread.

    Parameters
    ----------
    graph : Graph
        After its passes.
    batch : int
        Volumes of an array.
    budget : int
        Bytes of memory for the process, arrays in and out not counted.
    threads : int
    tile : three ints or ``"whole"``, optional
        Of the first output.

    Attributes
    ----------
    graph : Graph
        What was given.
    """

    def __init__(self, graph: Graph, batch: int, budget: int, threads: int, tile: Triple | str | None = None) -> None:
        from ..engine.compiling import compile_jobs, make_ready
        from ..engine.relay import Relay

        self.graph = graph
        self._tiled, self._chains = split_trailing(graph)
        check_installed(self._chains)
        traffic = self._traffic(batch)
        self._plan = make_plan(
            self._tiled, budget=budget, traffic=traffic, threads=threads, tile=tile or None, batch=batch
        )
        self._dtype = np.dtype(compute_dtype(graph.input.dtype))
        jobs = max(1, compile_jobs(threads, budget))
        make_ready(copy_specs(self._dtype.name), jobs=jobs)
        self._engine = Relay(threads, jobs=jobs)
        self._engine.prepare(self._plan)
        self._memory = {name: ResultMemory() for name in self._tiled.outputs}
        self._turn = threading.Lock()  # the tiles of two calls would lie in the same memory

    @property
    def nbytes(self) -> int:
        """Bytes held between calls, at most: a tile's buffers, packed weights, results that were dropped."""
        return self._engine.nbytes + sum(memory.nbytes for memory in self._memory.values())

    def __call__(self, source: ArraySource) -> dict[str, Array]:
        """Return each output for the array of `source`, in the compute type: (C, d, h, w); with N if that is over 1."""
        results = self._make_results()
        with self._turn:
            set_threads(self._engine.threads)
            for batch in range(self._plan.batch):
                self._run_volume(source, batch, {name: result[batch] for name, result in results.items()})
        results = self._finish(results)
        return {name: result if len(result) > 1 else result[0] for name, result in results.items()}

    def _run_volume(self, source: ArraySource, batch: int, results: dict[str, Array]) -> None:
        from ..engine.ends import Ends, is_readable

        volume = source.values[batch]
        ends = Ends(volume if is_readable(volume, self._dtype) else None, results)

        def read(region: Region, out: Array) -> None:
            source.read(region, out, batch)

        for number, phase in enumerate(self._engine.phases):
            with self._engine.phase(number) as engine:
                for tile in phase.tiles:
                    with explain_memory(phase, tile):
                        engine.run_between(tile, ends, read)

    def _traffic(self, batch: int) -> Traffic:
        held = gathered_bytes(self._chains, batch)
        return Traffic(resident_bytes=held, after_bytes=finishing_bytes(self._chains))

    def _finish(self, results: dict[str, Array]) -> dict[str, Array]:
        """Return the outputs that were asked for; those made of whole label maps are fresh arrays."""
        if not self._chains:
            return results
        finished: dict[str, list[Array]] = {name: [] for name in self._chains}
        for stage, labels in gather_labels(self._chains, self._plan.batch).items():
            for batch, values in enumerate(results[stage]):
                labels.write(Region.whole(values.shape[1:]), values, batch)
                for name, volume in labels.finish(batch).items():
                    finished[name].append(volume.astype(self._dtype))
        whole = {name: np.stack(volumes) for name, volumes in finished.items()}
        return {name: whole[name] if name in whole else results[name] for name in self.graph.outputs}

    def _make_results(self) -> dict[str, Array]:
        """Return room for every output; a page is touched first by the thread that writes it."""
        results = {}
        for name, memory in self._memory.items():
            wire = self._tiled.wire(name)
            shape = (self._plan.batch, wire.channels, *wire.shape)
            try:
                results[name] = memory.take(shape, self._dtype)
            except (MemoryError, ValueError) as error:  # ValueError: more bytes than an address can count
                raise RunError(f"no memory for a result of shape {shape}", code="memory.exhausted") from error
        return results


def run_graph(
    graph: Graph, source: ArraySource, budget: int, threads: int, tile: Triple | str | None = None
) -> dict[str, Array]:
    """Return each output of `graph` for the array of `source`, in the compute type."""
    return ArrayRun(graph, source.info.batch, budget, threads, tile)(source)

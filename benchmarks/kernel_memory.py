"""What convolution kernels ask of memory, beside what planning predicts: packed weights, and each thread's scratch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernel_layers import Layer
from volconv.engine.numba_engine import NumbaEngine
from volconv.kernels.catalog_memory import packed_bytes, scratch_bytes
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan

_MARK = np.uint32(0x7FA5A5A5)  # a NaN that no arithmetic gives
_PAGE = 4096
_RUNS = 20  # until every thread has had a job: threads take them as they come


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Attributes
    ----------
    predicted, asked : int
        Scratch, by planning and by the bound kernel.
    pages : int
        Scratch in pages that were written to: what is resident.
    written : int
        Scratch that was written to.
    beyond : int
        Written to behind what was asked for.
    packed, kept : int
        Weights and epilogue, by planning and as bound.
    """

    predicted: int
    asked: int
    pages: int
    written: int
    beyond: int
    packed: int
    kept: int


def measure_memory(layer: Layer, threads: int) -> Memory:
    """Run `layer` in the engine, whole, on scratch filled with a mark, until each thread has had its part."""
    graph = layer.graph()
    plan = make_plan(graph, budget=2**34, traffic=Traffic(), threads=threads, tile=graph.wire("layer").shape)
    engine = NumbaEngine(threads)
    engine.prepare(plan)
    bound = engine.bound["layer"]
    kernel, predicted = plan.kernels["layer"], scratch_bytes(plan.kernels["layer"], layer.shape, threads)
    volume = np.random.default_rng(0).standard_normal((layer.op.in_channels, *layer.size)).astype("f4")

    def read(region: Any, out: Any) -> None:
        out[...] = volume[:, *region.slices()]

    (tile,) = plan.tiles
    scratch = engine._scratch.view(np.uint32)
    scratch.fill(_MARK)
    asked = bound.scratch_elements(threads) * 4
    for _ in range(_RUNS):
        engine.run_tile(tile, read, lambda *_: None)
        written = scratch[: asked // 4] != _MARK
        if all(part.any() for part in np.array_split(written, threads)):
            break
    resident = np.unique(np.flatnonzero(written) * 4 // _PAGE).size * _PAGE
    return Memory(
        predicted,
        asked,
        min(resident, asked),
        int(written.sum()) * 4,
        int((scratch[asked // 4 :] != _MARK).sum()) * 4,
        packed_bytes(kernel, layer.shape),
        bound.nbytes,
    )

"""The simplest executor: tile after tile, read, compute, write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from threading import Event as Flag
from typing import Any

from numpy.typing import NDArray

from ..engine.base import Engine
from ..errors import RunError
from ..formats.base import Sink, Source
from ..plan.model import Plan, Tile
from ..plan.tiling import format_bytes
from ..region import Region
from .events import Emit, Started, TileDone


def execute(
    plan: Plan,
    engine: Engine,
    source: Source,
    sinks: Mapping[str, Sequence[Sink]],
    emit: Emit,
    stop: Flag | None = None,
) -> None:
    """Run every tile of every volume of `plan`.

    Parameters
    ----------
    plan : Plan
    engine : Engine
        Prepared for `plan`.
    source : Source
        Loaded.
    sinks : mapping
        Output name to the created sinks that take it.
    emit : callable
        Takes events.
    stop : threading.Event, optional
        When set, the run ends before the next tile.
    """
    announce(plan, emit)
    for batch in range(plan.batch):
        for tile in plan.tiles:
            if stop is not None and stop.is_set():
                return
            _run_tile(plan, engine, source, sinks, tile, batch)
            emit(TileDone(batch * plan.count + tile.index, tile.writes[plan.graph.outputs[0]].size))


def _run_tile(
    plan: Plan, engine: Engine, source: Source, sinks: Mapping[str, Sequence[Sink]], tile: Tile, batch: int
) -> None:
    def read(region: Region, out: NDArray[Any]) -> None:
        source.read(region, out, batch)

    def write(name: str, region: Region, values: NDArray[Any]) -> None:
        for sink in sinks[name]:
            sink.write(region, values, batch)

    with explain_memory(plan, tile):
        engine.run_tile(tile, read, write)


def announce(plan: Plan, emit: Emit) -> None:
    """Tell that the first tile is about to be read."""
    first = plan.graph.wire(plan.graph.outputs[0])
    emit(Started(plan.count * plan.batch, prod(first.shape) * plan.batch, plan.peak_bytes))


@contextmanager
def explain_memory(plan: Plan, tile: Tile) -> Iterator[None]:
    """Raise `RunError` where `tile` runs out of memory."""
    try:
        yield
    except MemoryError as error:
        raise RunError(
            f"tile {tile.index} ran out of memory, where the plan needs {format_bytes(plan.peak_bytes)}; "
            "give a smaller --memory"
        ) from error

"""The simplest executor: tile after tile, read, compute, write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
    for leg in list_legs(plan):
        with engine.phase(leg.number) as current:
            run_tiles(leg, current, source, sinks, emit, stop)
        if stop is not None and stop.is_set():
            return


def run_tiles(
    leg: Leg, engine: Engine, source: Source, sinks: Mapping[str, Sequence[Sink]], emit: Emit, stop: Flag | None
) -> None:
    """Run the tiles of one leg one after the other; arguments as `execute` has them."""
    for batch in leg.batches:
        for tile in leg.plan.tiles:
            if stop is not None and stop.is_set():
                return
            _run_tile(leg.plan, engine, source, sinks, tile, batch)
            emit(leg.done(tile, batch))


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
    emit(Started(plan.count * plan.batch, plan.voxels * plan.batch, plan.peak_bytes))


@dataclass(frozen=True)
class Leg:
    """What runs with one phase made ready: its tiles, for the volumes of `batches`.

    Attributes
    ----------
    number : int
        Of the phase.
    plan : Plan
        Of the phase.
    batches : range
        Volumes: of an ordinary run all of them, as nothing lies between its phases.
    first : int
        Tiles of all phases that come before, for the first volume of `batches`.
    """

    number: int
    plan: Plan
    batches: range
    first: int

    def done(self, tile: Tile, batch: int) -> TileDone:
        """Return the event that tells of `tile` of volume `batch`."""
        index = self.first + (batch - self.batches.start) * self.plan.count + tile.index
        return TileDone(index, tile.writes[self.plan.graph.anchor].size)


def list_legs(plan: Plan) -> Iterator[Leg]:
    """Yield what runs one after the other: every phase of every volume."""
    if not plan.phases:
        yield Leg(0, plan, range(plan.batch), 0)
        return
    first = 0
    for batch in range(plan.batch):
        for number, phase in enumerate(plan.phases):
            yield Leg(number, phase, range(batch, batch + 1), first)
            first += phase.count


@contextmanager
def explain_memory(plan: Plan, tile: Tile) -> Iterator[None]:
    """Raise `RunError` where `tile` runs out of memory."""
    try:
        yield
    except MemoryError as error:
        raise RunError(
            f"tile {tile.index} ran out of memory, where the plan needs {format_bytes(plan.peak_bytes)}; "
            "give a smaller --memory",
            code="memory.exhausted",
        ) from error

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
    ledger: Ledger | None = None,
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
    ledger : Ledger, optional
        Says which tiles are left.
    """
    ledger = ledger or Ledger()
    announce(plan, emit)
    for leg in list_legs(plan):
        with open_leg(leg, engine, emit, stop, ledger) as current:
            if current is not None:
                run_tiles(leg, current, source, sinks, emit, stop, ledger)
        if stop is not None and stop.is_set():
            return


def run_tiles(
    leg: Leg,
    engine: Engine,
    source: Source,
    sinks: Mapping[str, Sequence[Sink]],
    emit: Emit,
    stop: Flag | None,
    ledger: Ledger,
) -> None:
    """Run the tiles of one leg one after the other; arguments as `execute` has them."""
    for batch, tile in ledger.left(leg):
        if stop is not None and stop.is_set():
            return
        _run_tile(leg.plan, engine, source, sinks, tile, batch)
        ledger.computed(leg, tile, batch)
        ledger.done(leg, tile, batch)
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


class Ledger:
    """Which tiles an executor computes, and who hears of them; by itself: all, and nobody.

    For every leg that is wanted, in order: `begin`, `left`, for each tile that yields `computed` and `done`, `end`.
    """

    def wants(self, leg: Leg) -> bool:  # noqa: ARG002
        """Return whether `leg` is to be run at all."""
        return True

    def begin(self, leg: Leg, engine: Engine) -> None:
        """Hear that `engine` is ready for `leg`."""

    def left(self, leg: Leg) -> Iterator[tuple[int, Tile]]:
        """Yield the volume and the tile of what is to be computed, in order."""
        for batch in leg.batches:
            for tile in leg.plan.tiles:
                yield batch, tile

    def computed(self, leg: Leg, tile: Tile, batch: int) -> None:
        """Hear that `tile` was computed, from the engine's thread, before the next one is."""

    def done(self, leg: Leg, tile: Tile, batch: int) -> None:
        """Hear that all results of `tile` were written, from the thread that wrote them."""

    def end(self, leg: Leg, whole: bool) -> None:
        """Hear that no more tiles of `leg` come, the last ones written; `whole` if none was left out."""


@contextmanager
def open_leg(leg: Leg, engine: Engine, emit: Emit, stop: Flag | None, ledger: Ledger) -> Iterator[Engine | None]:
    """Make everything ready for `leg` and yield what runs its tiles; None where `ledger` wants none of them."""
    if not ledger.wants(leg):
        _announce_all(leg, emit)
        yield None
        return
    with engine.phase(leg.number) as current:
        ledger.begin(leg, current)
        yield current
        ledger.end(leg, stop is None or not stop.is_set())


def _announce_all(leg: Leg, emit: Emit) -> None:
    for batch in leg.batches:
        for tile in leg.plan.tiles:
            emit(leg.done(tile, batch))


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

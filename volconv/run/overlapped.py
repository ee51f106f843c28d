"""The executor that reads a tile ahead and writes a tile behind, while the engine computes the one between.

    reading  | n+1      | n+2      |        a thread of its own
    engine   | n        | n+1      |        the caller's thread: kernels have one caller
    writing  | n-1      | n        |        a thread of its own

What is read and what is written lies in two slots of the arena, used in turns, so nothing is copied. Results are
those of `volconv.run.serial`, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, pairwise
from threading import Event as Flag
from typing import Any

from numpy.typing import NDArray

from ..engine.base import Engine
from ..formats.base import Sink, Source
from ..plan.model import Plan, Tile
from ..region import Region
from .events import Emit
from .serial import Ledger, Leg, announce, explain_memory, list_legs, open_leg, run_tiles

Place = tuple[int, Tile]
"""The volume of the batch, and the tile in it."""


def execute(
    plan: Plan,
    engine: Engine,
    source: Source,
    sinks: Mapping[str, Sequence[Sink]],
    emit: Emit,
    stop: Flag | None = None,
    ledger: Ledger | None = None,
) -> None:
    """Run every tile of every volume of `plan`, as `volconv.run.serial.execute` does.

    `source` is called from one thread, `sinks` from another, which also emits `TileDone`. An error of either ends the
    run within two tiles.
    """
    ledger = ledger or Ledger()
    announce(plan, emit)
    for leg in list_legs(plan):
        with open_leg(leg, engine, emit, stop, ledger) as current:
            if current is not None:
                run = _run_leg if leg.plan.slots else run_tiles
                run(leg, current, source, sinks, emit, stop, ledger)
        if stop is not None and stop.is_set():
            return


def _run_leg(
    leg: Leg,
    engine: Engine,
    source: Source,
    sinks: Mapping[str, Sequence[Sink]],
    emit: Emit,
    stop: Flag | None,
    ledger: Ledger,
) -> None:
    """Run every tile of `leg` while the next is read and the last is written."""
    plan = leg.plan
    helpers = _Helpers(engine, source, sinks)
    written: tuple[list[Future[None]], list[Future[None]]] = ([], [])
    fetched = None

    def tell(tile: Tile, batch: int) -> None:
        ledger.done(leg, tile, batch)
        emit(leg.done(tile, batch))

    try:
        for turn, ((batch, tile), after) in enumerate(_with_next(ledger.left(leg))):
            if stop is not None and stop.is_set():
                return
            slot = turn % 2
            fetched = fetched or helpers.fetch((batch, tile), slot)
            coming = None if after is None else helpers.fetch(after, 1 - slot)
            with explain_memory(plan, tile):
                _wait_for(written[slot])
                helpers.compute(tile, batch, slot, fetched, written[slot])
                ledger.computed(leg, tile, batch)
            written[slot].append(helpers.writing.submit(tell, tile, batch))
            if after is None:
                with explain_memory(plan, tile):
                    _wait_for(written[1 - slot] + written[slot])
            fetched = coming
    finally:
        helpers.close()


class _Helpers:
    """The two threads beside the engine's, and what they do."""

    def __init__(self, engine: Engine, source: Source, sinks: Mapping[str, Sequence[Sink]]) -> None:
        self.reading = ThreadPoolExecutor(1, thread_name_prefix="volconv-read")
        self.writing = ThreadPoolExecutor(1, thread_name_prefix="volconv-write")
        self._engine = engine
        self._source = source
        self._sinks = sinks

    def fetch(self, place: Place, slot: int) -> Future[None]:
        """Begin to read a tile's window into its place in the arena."""
        batch, tile = place
        region, out = self._engine.window(tile, slot)
        return self.reading.submit(self._read, region, out, batch)

    def compute(self, tile: Tile, batch: int, slot: int, fetched: Future[None], written: list[Future[None]]) -> None:
        """Compute `tile` once it is `fetched`; begin to write its results, and note that in `written`."""

        def read(region: Region, out: NDArray[Any]) -> None:  # noqa: ARG001  (`fetch` knew them)
            fetched.result()

        def write(name: str, region: Region, values: NDArray[Any]) -> None:
            written.append(self.writing.submit(self._write, name, region, values, batch))

        self._engine.run_tile(tile, read, write, slot)

    def close(self) -> None:
        """Wait for what is under way, and begin nothing more."""
        for pool in (self.reading, self.writing):
            pool.shutdown(cancel_futures=True)

    def _read(self, region: Region, out: NDArray[Any], batch: int) -> None:
        if not region.is_empty:
            self._source.read(region, out, batch)

    def _write(self, name: str, region: Region, values: NDArray[Any], batch: int) -> None:
        for sink in self._sinks[name]:
            sink.write(region, values, batch)


def _with_next(places: Iterator[Place]) -> Iterator[tuple[Place, Place | None]]:
    """Yield every tile of every volume together with the one that follows."""
    for here, after in pairwise(chain(places, [None])):
        if here is not None:
            yield here, after


def _wait_for(futures: list[Future[None]]) -> None:
    """Wait for `futures` in their order and forget them; the first error is raised here."""
    while futures:
        futures.pop(0).result()

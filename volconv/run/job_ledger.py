"""Keeps a job's finished tiles in its folder, for a later run to compute only what is left, and fills the outputs.

    tiles --> records and journal --(after the last tile)--> outputs

The result of a tile is the same whoever computes it, so what stands in the folder is as good as what is computed now.
Of a run in phases, what earlier phases kept is read back only as far as tiles that are left need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from threading import Event as Flag
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..engine.base import Engine
from ..engine.gathering import Gathered
from ..engine.numba_engine import NumbaEngine
from ..errors import BudgetError, RunError
from ..formats.base import Sink
from ..kernels.catalog_memory import state_length
from ..numeric import compute_dtype
from ..plan.model import Plan, Tile
from ..region import Region
from .events import Emit, Phase
from .job_folder import JobFolder
from .journal import Checksums, Journal, Key
from .records import Records, list_parts, volumes
from .serial import Ledger, Leg

Array = NDArray[Any]


Place = tuple[str, tuple[int, ...]]
"""A result, and the first voxel of what a tile hands on of it."""


def _find_places(plan: Plan) -> dict[Place, int]:
    """Return the tile that hands on each part of each result."""
    return {
        (name, region.start): tile.index
        for tile in plan.tiles
        for name, region in tile.writes.items()
        if not region.is_empty
    }


class _LegState:
    """One leg: its records, which of them matter, which tiles stand, and where they are."""

    def __init__(self, records: Records, tiles: Mapping[Place, int]) -> None:
        self.records = records
        self.tiles = tiles
        self.wanted: frozenset[int] = frozenset()
        self.standing: frozenset[tuple[int, int]] = frozenset()
        self.totals: dict[str, Gathered] = {}
        self.checksums: dict[tuple[int, int], list[int | None]] = {}

    @property
    def missing(self) -> int:
        """Tiles that are to be computed."""
        return self.records.leg.plan.count * len(self.records.leg.batches) - len(self.standing)

    def note(self, batch: int, tile: int, part: int, checksum: int) -> None:
        """Remember the checksum of what was written of a tile; from any thread."""
        found = self.checksums.setdefault((batch, tile), [None] * len(self.records.parts))
        found[part] = checksum


class JobLedger(Ledger):
    """The ledger of a job folder.

    Parameters
    ----------
    folder : JobFolder
        Held, its document written; of the same job and tile grid as `plan`.
    plan : Plan
    emit : callable
        Takes events.

    Attributes
    ----------
    resumed, computed_now, damaged : int
        Tiles that earlier runs have finished and that stand; that this run has; of what the journal lists, what does
        not stand.
    sinks : mapping
        Output name to what takes its tiles, for the executor.

    Raises
    ------
    RunError
        If the folder cannot be read or written.
    BudgetError
        If its disk has no room.
    """

    def __init__(self, folder: JobFolder, plan: Plan, emit: Emit, check: Callable[[], None]) -> None:
        self._folder, self._plan, self._emit, self._check = folder, plan, emit, check
        self._journal = Journal(folder.journal)
        folder.busy = True
        self._engine: NumbaEngine | None = None
        self._at: Leg | None = None
        self._states: dict[tuple[int, int], _LegState] = {}
        self._idle: set[int] = set()
        self.resumed = self.computed_now = self.damaged = 0
        self.sinks: Mapping[str, Sequence[Any]] = {name: [_Recorder(self, name)] for name in plan.graph.outputs}
        try:
            self._survey()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all files; safe to call twice."""
        self._journal.close()
        for state in self._states.values():
            state.records.close()
        self._folder.busy = False

    def wants(self, leg: Leg) -> bool:
        """Whether any tile of any phase of the volume is to be computed."""
        return leg.batches.start not in self._idle

    def begin(self, leg: Leg, engine: Engine) -> None:
        """Make room for the results of `leg`; bring back what standing tiles have kept for later phases."""
        state, self._at = self._state(leg), leg
        self._reserve(state)
        current = self._engine = None if leg.plan.part is None else cast(NumbaEngine, engine)
        if current is not None:
            wanted = [state.records.parts[n] for n in sorted(state.wanted)]
            state.totals = {part.name: current.gathered[part.name].twin() for part in wanted if part.kind == "sums"}
        for batch, tile in super().left(leg):
            if (batch, tile.index) in state.standing:
                if current is not None:
                    self._bring_back(state, tile, batch, current)
                self._emit(leg.done(tile, batch))
        if current is not None:
            current.on_store = self._store

    def _bring_back(self, state: _LegState, tile: Tile, batch: int, engine: NumbaEngine) -> None:
        """Hand what a standing tile has kept for later phases to the engine."""
        for n in sorted(state.wanted):
            part = state.records.parts[n]
            if part.kind == "wire":
                engine.restore(tile, part.name, partial(state.records.read, n, tile.index, batch))
            elif part.kind == "sums":
                state.totals[part.name].merge(self._read_sums(state, n, tile, batch))

    def left(self, leg: Leg) -> Iterator[tuple[int, Tile]]:
        """Yield the tiles of `leg` that are to be computed."""
        standing = self._state(leg).standing
        return ((batch, tile) for batch, tile in super().left(leg) if (batch, tile.index) not in standing)

    def computed(self, leg: Leg, tile: Tile, batch: int) -> None:
        """Record the statistics of `tile`."""
        state = self._state(leg)
        for n in state.wanted if leg.plan.part is not None else ():
            part = state.records.parts[n]
            if part.kind == "sums" and self._engine is not None:
                gathered = self._engine.gathered[part.name]
                found = gathered.state()
                state.totals[part.name].merge(found)
                gathered.clear()
                state.note(batch, tile.index, n, state.records.write(n, tile.index, batch, found))

    def done(self, leg: Leg, tile: Tile, batch: int) -> None:
        """Add `tile` to the journal."""
        state = self._state(leg)
        checksums = state.checksums.pop((batch, tile.index), [None] * len(state.records.parts))
        for n in state.wanted:
            if not state.records.parts[n].sizes[tile.index]:
                checksums[n] = 0
        if all(checksums[n] is not None for n in state.wanted):  # else writing has failed, which ends the run
            self._check()  # a tile of an input that has changed since its digest was taken must never be listed
            self._journal.append((batch, leg.number, tile.index), checksums)
            self.computed_now += 1

    def end(self, leg: Leg, whole: bool) -> None:
        """Hand all statistics to the engine; once the phase is `whole`, remove wires that no later phase reads."""
        state, engine, self._engine = self._state(leg), self._engine, None
        if engine is not None:
            engine.on_store = None
            for name, total in state.totals.items():
                engine.gathered[name].merge(total.state())
        if whole and leg.plan.part is not None:
            if state.missing:
                state.records.sync()
                self._journal.sync()
            self._drop_wires(leg)
        state.records.close()

    def _drop_wires(self, leg: Leg) -> None:
        ended = {store.wire for store in self._plan.stores if store.last == leg.number}
        for number in range(leg.number + 1):
            records = self._states[leg.batches.start, number].records
            for n, part in enumerate(records.parts):
                if part.kind == "wire" and part.name in ended:
                    records.drop(n)

    def fill(self, sinks: Mapping[str, Sequence[Sink]], stop: Flag) -> None:
        """Write the results of all tiles to `sinks`, as an executor would have done."""
        dtype = compute_dtype(self._plan.graph.input.dtype)
        for state in self._states.values():
            records, leg = state.records, state.records.leg
            results = [(n, part.name) for n, part in enumerate(records.parts) if part.kind == "result"]
            for batch, tile in Ledger.left(self, leg) if results else ():
                if stop.is_set():
                    return
                for n, name in results:
                    self._hand_on(records, n, tile.index, batch, tile.writes[name], sinks[name], dtype)
            records.close()

    def _hand_on(
        self, records: Records, part: int, tile: int, batch: int, region: Region, sinks: Sequence[Sink], dtype: str
    ) -> None:
        if region.is_empty:
            return
        channels = self._plan.graph.wire(records.parts[part].name).channels
        values = np.empty((channels, *region.shape), dtype)
        records.read(part, tile, batch, values)
        for sink in sinks:
            sink.write(region, values, batch)

    def take(self, name: str, region: Region, values: Array, batch: int) -> None:
        """Record the output `name` of the tile at `region`."""
        assert self._at is not None
        self._record("result", name, region, values, batch)

    def _store(self, name: str, region: Region, values: Array) -> None:
        assert self._at is not None
        self._record("wire", name, region, values, self._at.batches.start)

    def _record(self, kind: str, name: str, region: Region, values: Array, batch: int) -> None:
        assert self._at is not None
        state = self._state(self._at)
        part, tile = state.records.find(kind, name), state.tiles[name, region.start]
        if part is not None and part in state.wanted:
            state.note(batch, tile, part, state.records.write(part, tile, batch, values))

    def _state(self, leg: Leg) -> _LegState:
        return self._states[leg.batches.start, leg.number]

    def _read_sums(self, state: _LegState, part: int, tile: Tile, batch: int) -> Array:
        wire = state.records.leg.plan.graph.wire(state.records.parts[part].name)
        found = np.empty((wire.channels, state_length(compute_dtype(wire.dtype))), np.int64)
        state.records.read(part, tile.index, batch, found)
        return found

    def _reserve(self, state: _LegState) -> None:
        """Reserve the disk's room for a leg; where it lacks, that is a failure of the work once tiles are finished."""
        try:
            for n in sorted(state.wanted):
                state.records.reserve(n)
        except BudgetError as error:
            if not (self.computed_now or self.resumed):
                raise
            raise RunError(f"{error.message}; make room, then run again with --resume", file=error.file) from error

    def _survey(self) -> None:
        """Find out which tiles stand, and what of them is needed: of each volume from its last phase to its first."""
        if self._journal.entries:
            self._emit(Phase("checking finished tiles"))
        layouts = [(list_parts(phase), _find_places(phase)) for phase in self._plan.phases or (self._plan,)]
        for legs in volumes(self._plan):
            demanded: set[str] = set()
            later = False
            for leg in reversed(legs):
                parts, tiles = layouts[leg.number]
                state = _LegState(Records(self._folder.path, leg, parts), tiles)
                state.wanted = frozenset(
                    n
                    for n, part in enumerate(state.records.parts)
                    if part.kind == "result" or (part.kind == "wire" and part.name in demanded) or
                    (part.kind == "sums" and later)
                )  # fmt: skip
                self._states[leg.batches.start, leg.number] = state
                state.standing = frozenset(self._find_standing(state))
                state.records.close()
                if state.missing:
                    later = True
                    demanded |= set(leg.plan.graph.stored)
            if not later:
                self._idle.add(legs[0].batches.start)
        self._states = dict(sorted(self._states.items()))

    def _find_standing(self, state: _LegState) -> Iterator[tuple[int, int]]:
        leg = state.records.leg
        for batch, tile in Ledger.left(self, leg):
            key: Key = (batch, leg.number, tile.index)
            listed = self._journal.entries.get(key)
            if listed is None:
                continue
            if self._stands(state, key, listed):
                self.resumed += 1
                yield batch, tile.index
            else:
                self.damaged += 1

    @staticmethod
    def _stands(state: _LegState, key: Key, listed: Checksums) -> bool:
        batch, _, tile = key
        if len(listed) != len(state.records.parts):
            return False
        return all(listed[n] is not None and listed[n] == state.records.checksum(n, tile, batch) for n in state.wanted)


class _Recorder:
    """Takes the tiles of one output in place of its sinks."""

    def __init__(self, ledger: JobLedger, name: str) -> None:
        self._ledger, self._name = ledger, name

    def write(self, region: Region, values: Array, batch: int = 0) -> None:
        """Record `values` (C, d, h, w) at `region` of volume `batch`."""
        self._ledger.take(self._name, region, values, batch)

"""Runs a plan phase by phase: an engine for each, what lies between them, and statistics handed on.

Of an ordinary plan, a phase by itself, it is the engine and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import RunError
from ..formats.scratch_file import ScratchFile
from ..graph.model import Node
from ..numeric import compute_dtype
from ..ops.global_pool import GlobalPool
from ..plan.model import Plan
from ..plan.phases import scratch_end
from .compiling import make_ready
from .gathering import Gathered, gathering_specs
from .numba_engine import NumbaEngine, needed_kernels
from .stores import AnyStore, FileStore, MemoryStore


class Relay:
    """The engines of a run.

    Parameters
    ----------
    threads : int
        For kernels.
    on_compile : callable, optional
        Called with the number of kernels before they are compiled, if any must be.
    jobs : int
        Processes that compile at a time.
    scratch : Path, optional
        The folder of the scratch file, for plans that need one.

    Attributes
    ----------
    spoilt : dict
        Norms, its keys, whose statistics of some volume so far are not finite.
    """

    def __init__(
        self,
        threads: int,
        on_compile: Callable[[int], None] | None = None,
        jobs: int = 1,
        scratch: Path | None = None,
    ) -> None:
        self._threads, self._on_compile, self._jobs, self._folder = threads, on_compile, jobs, scratch
        self._file: ScratchFile | None = None
        self._stores: dict[str, AnyStore] = {}
        self._settled: dict[str, Node] = {}
        self.spoilt: dict[str, None] = {}

    def prepare(self, plan: Plan) -> None:
        """Bind weights, compile what the cache lacks, reserve the scratch file; called once, before the first tile.

        Raises
        ------
        BudgetError
            The scratch folder's disk has no room, or memory does not suffice to compile.
        """
        self.plan = plan
        self.phases = plan.phases or (plan,)
        self.make_ready(plan)
        self._dtype = np.dtype(compute_dtype(plan.graph.input.dtype))
        self._engines = [NumbaEngine(self._threads) for _ in self.phases]
        self.threads = self._engines[0].threads
        for engine, phase in zip(self._engines, self.phases, strict=True):
            engine.bind(phase)
        if not plan.phases:
            self._engines[0].allot()
        size = scratch_end(plan.stores)
        if size:
            assert self._folder is not None
            self._file = ScratchFile(self._folder, size, str(self._folder))

    def make_ready(self, plan: Plan) -> None:
        """Load the kernels of `plan`, compiling what the cache lacks; once that is done, nothing."""
        specs = [spec for phase in plan.phases or (plan,) for spec in needed_kernels(phase)]
        ends = [node for phase in plan.phases if phase.part for node in phase.part.ends]
        make_ready([*specs, *gathering_specs(ends)], self._on_compile, self._jobs)

    @property
    def nbytes(self) -> int:
        """Bytes held now; between phases, packed weights alone."""
        return sum(engine.nbytes for engine in self._engines)

    def close(self) -> None:
        """Give the scratch file and the tiles' memory back; no tile can be computed then. Safe to call twice."""
        self._engines, self._stores = [], {}
        if self._file is not None:
            self._file.close()

    @contextmanager
    def phase(self, number: int) -> Iterator[NumbaEngine]:
        """Make phase `number` ready and yield its engine; afterwards settle what its statistics decide.

        All phases of a volume run in their order, each once.
        """
        engine, part = self._engines[number], self.phases[number].part
        if part is None:
            yield engine
            return
        try:
            self._open(number)
            engine.stores = self._stores
            graph = part.graph
            readers = {name: [node for node in part.ends if node.inputs[0] == name] for name in part.gathers}
            engine.gathered = {name: Gathered(graph.wire(name), nodes) for name, nodes in readers.items()}
            engine.settle(self._settled)
            engine.allot()
            yield engine
            self._finish(number, engine.gathered)
        except BaseException:
            self._stores.clear()
            raise
        finally:
            engine.release()

    def _open(self, number: int) -> None:
        """Make the stores that phase `number` fills."""
        if number == 0:
            self._stores.clear()
            self._settled.clear()
        for store in self.plan.stores:
            if store.born == number and not isinstance(self._op_of(store.wire), GlobalPool):
                if store.offset is None:
                    try:
                        self._stores[store.wire] = MemoryStore(store, self._dtype)
                    except MemoryError as error:
                        raise RunError(
                            f"no memory for stage {store.wire!r}, {store.nbytes} bytes; give a smaller --memory",
                            code="memory.exhausted",
                        ) from error
                else:
                    assert self._file is not None
                    self._stores[store.wire] = FileStore(store, self._file, self._dtype)

    def _finish(self, number: int, gathered: dict[str, Gathered]) -> None:
        """Settle norms, make the voxels of pools, drop what no later phase reads."""
        part = self.phases[number].part
        assert part is not None
        for node in part.ends:
            found = gathered[node.inputs[0]]
            if isinstance(node.op, GlobalPool):
                (store,) = (s for s in self.plan.stores if s.wire == node.name)
                made = MemoryStore(store, self._dtype)
                made.fill(found.pool(node))
                self._stores[node.name] = made
            else:
                self._settled[node.name] = settled = found.settle(node)
                if not all(np.isfinite(settled.tensors[name]).all() for name in ("running_mean", "running_var")):
                    self.spoilt[node.name] = None
        for store in self.plan.stores:
            if store.last == number:
                self._stores.pop(store.wire, None)

    def _op_of(self, name: str) -> object:
        return self.plan.graph.node(name).op

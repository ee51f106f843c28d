"""A spec as a function from array to array."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Floats3, Triple
from ..graph.build import build_graph, make_loader
from ..graph.model import Graph
from ..graph.passes import optimise
from ..ops.base import Wire
from ..run.arrays import ArrayRun
from ..run.kept import KeptRuns, snapshot
from ..settings import memory_budget, thread_count
from ..spec.model import Spec
from .job import read_spec
from .options import Options, make_options
from .prepared import finish_array, prepare_array


class Pipeline:
    """A loaded spec, callable on arrays; made by `load`.

    It keeps what its last two calls of different shape or settings need, as a layer does (`volconv.Conv3d`); after a
    call with `memory` what that one needs alone. Weights are read and compared in each call.

    Attributes
    ----------
    spec : Spec
    """

    def __init__(self, spec: Spec, weights: str | Path | None = None) -> None:
        self.spec = spec
        self._weights = None if weights is None else Path(weights)
        self._runs = KeptRuns()

    def __repr__(self) -> str:
        return f"<Pipeline {self.spec.name!r}: {' -> '.join(stage.name for stage in self.spec.stages)}>"

    def __call__(
        self,
        array: NDArray[Any],
        *,
        spacing: Floats3 | None = None,
        tile: Triple | str | None = None,
        threads: int | None = None,
        memory: str | int | None = None,
        algorithm: str = "auto",
    ) -> Any:
        """Return the result for `array`.

        Parameters
        ----------
        array : (C, D, H, W) or (N, C, D, H, W) array
            Integers or floats; cast to the spec's dtype.
        spacing : three floats, optional
            D, H, W in mm; needed where the spec speaks of millimetres.
        tile : three ints or ``"whole"``, optional
        threads : int, optional
        memory : str or int, optional
            Budget of the process, arrays in and out not counted.
        algorithm : str

        Returns
        -------
        array, or dict of arrays by stage name where the spec has several outputs
            (C, d, h, w), or (N, C, d, h, w) as the input is; label maps in the smallest unsigned integer type.
        """
        options = make_options(tile=tile, threads=threads, memory=memory, algorithm=algorithm, spacing=spacing)
        array = np.asarray(array)
        with contextlib.closing(make_loader(self.spec, self._weights)) as loader:
            source, prepared = prepare_array(array, self.spec, options.spacing)
            with contextlib.closing(prepared):
                info = source.info
                wire = Wire(info.shape, info.channels, self.spec.dtype, spacing_mm=info.geometry.spacing_mm)
                graph = build_graph(self.spec, wire, loader)
                run = self._prepare(graph, info.batch, options)
                results = run(source)
                finished = {name: finish_array(prepared, run.graph.wire(name), got) for name, got in results.items()}
        finished = {name: _ranked(result, array.ndim) for name, result in finished.items()}
        return finished if len(finished) > 1 else next(iter(finished.values()))

    def _prepare(self, graph: Graph, batch: int, options: Options) -> ArrayRun:
        """Return the run of `graph`: that of an earlier call, or a new one."""
        threads = thread_count(options.threads)
        memory = None if options.memory is None else str(options.memory)
        settings = (batch, threads, options.tile, memory, options.algorithm)
        run = self._runs.find(graph, settings)
        if memory is not None:
            self._runs.drop_others(run)  # what others hold is no part of a budget that was named
        if run is None:
            graph = snapshot(graph)
            self._runs.drop_stale(graph, settings)
            run = ArrayRun(optimise(graph, options.algorithm), batch, memory_budget(memory), threads, options.tile)
            self._runs.keep(graph, settings, run)
        return run


def load(spec: Any, *, weights: str | Path | None = None, **settings: Any) -> Pipeline:
    """Return the pipeline of `spec`.

    Parameters
    ----------
    spec : str, path or mapping
        A path ending in ``.yaml``, ``.yml`` or ``.json``, the name of a preset, or a mapping of the same structure.
    weights : str or path, optional
        Replaces the spec's top-level weights file.
    **settings
        Values of the spec's parameters: ``load("gaussian", sigma="2mm")``.
    """
    return Pipeline(read_spec(spec, settings), weights)


def _ranked(result: NDArray[Any], ndim: int) -> NDArray[Any]:
    return result[None] if ndim == 5 and result.ndim == 4 else result

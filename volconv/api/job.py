"""Puts a run together, up to the point where voxels are read: everything that can fail early fails here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BudgetError, MissingFileError, OutputError, ShapeError, SpecError, UsageError, VolconvError
from ..formats.atomic import check_output
from ..formats.base import Sink, Source
from ..formats.names import HDF5, parse_volume_name
from ..formats.open import open_sink, open_source
from ..formats.stacked import StackedSource
from ..geometry import Triple
from ..graph.build import build_graph, make_loader
from ..graph.model import Graph
from ..graph.passes import optimise
from ..graph.tensors import TensorLoader
from ..ops.base import Wire
from ..plan.cost import BASELINE_BYTES, HDF5_BYTES, Traffic
from ..plan.make import make_plan
from ..plan.model import Plan
from ..settings import memory_budget, thread_count
from ..spec.load import load_spec, load_spec_mapping
from ..spec.model import Spec
from ..volume import OutputInfo
from .arguments import as_plain
from .options import Options
from .provenance import format_record, make_record
from .targets import Target, list_targets, sidecar_path

_INFLATE_RATE, _DEFLATE_RATE = 5e8, 1.5e8
"""Bytes of voxels a second through gzip, in and out, for the time estimate."""
_HOLD_SHARE = 4
"""A compressed input is held in memory up to this fraction of the budget, else spooled to the scratch folder."""


@dataclass
class Job:
    """A run that is ready to be planned.

    Attributes
    ----------
    spec, options, source, graph, loader
        What to do, on what, with what.
    inputs : list of Path
        The volumes as they were named.
    targets : list of Target
        Every output.
    budget, threads : int
    sinks : list of Sink
        One a target, in their order; made by `open_sinks`.
    scratch : Path
    holds_input : bool
        Whether a compressed input is decompressed into memory; settled by `plan_job`.
    digests : tuple of two lists, or None
        Names and SHA-256 of inputs and of weights, once they are known.
    """

    spec: Spec
    options: Options
    source: Source
    graph: Graph
    loader: TensorLoader
    inputs: list[Path]
    targets: list[Target]
    budget: int
    threads: int
    sinks: list[Sink] = field(default_factory=list)
    scratch: Path = Path()
    holds_input: bool = True
    digests: tuple[list[dict[str, str]], list[dict[str, str]]] | None = None

    @property
    def files_read(self) -> list[Path]:
        """Every file the run reads: volumes, spec, weights."""
        spec = [Path(self.spec.source)] if self.spec.folder is not None else []
        return [*self.source.paths, *spec, *self.loader.files]

    @property
    def files_written(self) -> list[Path]:
        """Every file that the outputs become, known once sinks are open."""
        return list(dict.fromkeys(path for sink in self.sinks for path in sink.paths))

    def sinks_of(self, stage: str) -> list[Sink]:
        """Return the sinks that take the result of `stage`."""
        return [sink for target, sink in zip(self.targets, self.sinks, strict=True) if target.stage == stage]

    def close(self) -> None:
        """Let go of every file that is read."""
        self.source.close()
        self.loader.close()


def read_spec(spec: Any, settings: Mapping[str, Any]) -> Spec:
    """Return `spec` if it is one, else load it: a path, a preset's name, or a mapping of the same structure."""
    if isinstance(spec, Spec):
        return spec
    values = {name: as_plain(value) for name, value in settings.items()}
    if isinstance(spec, Mapping):
        return load_spec_mapping(spec, values)
    return load_spec(spec, values)


def open_job(spec: Any, inputs: Any, output: str | Path | None, options: Options) -> Job:
    """Return the job of running `spec` on `inputs`.

    Parameters
    ----------
    spec : str, path, mapping or Spec
    inputs : str, path, or sequence of them
        Several are the channels, in order.
    output : str, path or None
        None for planning alone.
    options : Options

    Raises
    ------
    VolconvError
        For everything that can be known from the command, the spec, the weights and the headers.
    """
    names = _list_names(inputs)
    budget, threads = memory_budget(_as_text(options.memory)), thread_count(options.threads)
    parsed = read_spec(spec, options.settings)
    targets = [] if output is None else list_targets(parsed, str(output), options.save)
    volumes = [parse_volume_name(name).path for name in names]
    if not options.skip_existing:
        _check_names(parsed, targets, volumes, options)
    source = _open_inputs(names, parsed, options)
    try:
        return _wire_job(parsed, spec, options, source, volumes, targets, budget, threads)
    except BaseException:
        source.close()
        raise


def _as_text(memory: str | int | None) -> str | None:
    return None if memory is None else str(memory)


def _list_names(inputs: Any) -> list[str]:
    names = [str(inputs)] if isinstance(inputs, str | Path) else [str(name) for name in inputs]
    if not names:
        raise UsageError("found no input, expected at least one volume")
    return names


def _check_names(spec: Spec, targets: Sequence[Target], volumes: Sequence[Path], options: Options) -> None:
    """Refuse, before anything is opened, what the names alone show to be wrong; `check_files` sees the rest."""
    for path in (options.weights, *volumes):
        if path is not None and not path.exists():
            raise MissingFileError("no such file", file=str(path))
    sources = [*volumes, *([options.weights] if options.weights else []), *([Path(spec.source)] if spec.folder else [])]
    for name in dict.fromkeys(target.name for target in targets):
        path = parse_volume_name(name).path
        if options.channels != "split":  # then this is no file's name
            check_output(path, sources, options.force)


def _open_inputs(names: Sequence[str], spec: Spec, options: Options) -> Source:
    sources: list[Source] = []
    try:
        for name in names:
            sources.append(
                open_source(
                    name,
                    order=spec.input.axes,
                    axes=options.axes,
                    spacing_mm=options.spacing,
                    channels=spec.input.channels if len(names) == 1 else 1,
                )
            )
        return sources[0] if len(sources) == 1 else StackedSource(sources)
    except BaseException:
        for source in sources:
            source.close()
        raise


def _wire_job(
    spec: Spec,
    given: Any,
    options: Options,
    source: Source,
    volumes: list[Path],
    targets: list[Target],
    budget: int,
    threads: int,
) -> Job:
    info = source.info
    wire = Wire(info.shape, info.channels, spec.dtype, spacing_mm=info.geometry.spacing_mm)
    loader = make_loader(spec, options.weights)
    try:
        graph = optimise(build_graph(spec, wire, loader, tuple(options.save)), options.algorithm)
    except SpecError as error:
        loader.close()
        blame_settings(error, given, wire, options)
        raise
    except BaseException:
        loader.close()
        raise
    return Job(spec, options, source, graph, loader, volumes, targets, budget, threads)


def blame_settings(error: SpecError, given: Any, wire: Wire, options: Options) -> None:
    """Raise `UsageError` in place of `error` if the spec is sound with its own defaults: then a setting is at fault."""
    if not options.settings or isinstance(error, ShapeError) or isinstance(given, Spec):
        return
    spec = read_spec(given, {})
    loader = make_loader(spec, options.weights)
    try:
        build_graph(spec, wire, loader)
    except VolconvError:
        return
    finally:
        loader.close()
    names = ", ".join(options.settings)
    raise UsageError(f"--set {names}: {error.message}", file=error.file, where=error.where) from error


def open_sinks(job: Job, records: bool) -> None:
    """Open a sink for every target of `job`; nothing is written before their `create`.

    With `records` false the files' records, which hold the digests of everything that is read, are left out, and
    outputs that exist are no error yet: such sinks are for planning, and for `check_files`.
    """
    job.scratch, force = _scratch_folder(job), job.options.force or not records
    grouped = {str(target.dataset): _output_info(job, target, records) for target in job.targets if target.dataset}
    together: Mapping[str, Sink] = {}
    if grouped:
        from ..formats.hdf5_sink import open_hdf5_sinks

        path = next(parse_volume_name(target.name).path for target in job.targets if target.dataset)
        together = open_hdf5_sinks(path, grouped, force=force)
    job.sinks = [
        together[target.dataset]
        if target.dataset
        else open_sink(
            target.name,
            _output_info(job, target, records),
            scratch=job.scratch,
            force=force,
            channels=job.options.channels,
            threads=job.threads,
        )
        for target in job.targets
    ]


def _output_info(job: Job, target: Target, record: bool) -> OutputInfo:
    wire, source = job.graph.wire(target.stage), job.source.info
    dtype = np.dtype(job.options.dtype or "float32")
    text = format_record(expected_record(job, target)) if record else ""
    return OutputInfo(wire.shape, wire.channels, dtype, source, wire.voxel_map, source.batch, False, text)


def check_files(job: Job) -> None:
    """Raise `OutputError` for the first file of the outputs, or beside them, that exists, is read, or cannot be made.

    An older depfile is replaced, as Make expects; an older sidecar only with ``--force``.
    """
    options, sources = job.options, job.files_read
    for path in job.files_written:
        check_output(path, sources, options.force)
    sidecar = sidecar_path(job.targets) if options.sidecar and job.targets else None
    taken = [path.absolute() for path in job.files_written]
    for beside, force in ((sidecar, options.force), (options.depfile, True)):
        if beside is None:
            continue
        if beside.absolute() in taken:
            raise OutputError("is written by this run already, expected another name", file=str(beside))
        check_output(beside, sources, force)
        taken.append(beside.absolute())


def _scratch_folder(job: Job) -> Path:
    if job.options.scratch is not None:
        return job.options.scratch
    if not job.targets:
        return Path()
    path = parse_volume_name(job.targets[0].name).path
    return path.with_name(path.name + ".volconv")


def expected_record(job: Job, target: Target, digests: bool = True) -> dict[str, Any]:
    """Return the record `target` is to carry; outputs that share a file share it.

    With `digests` false inputs and weights are left out, and no file is read.
    """
    if digests and job.digests is None:
        sources = getattr(job.source, "sources", [job.source])
        inputs = [{"name": path.name, "sha256": s.digest()} for path, s in zip(job.inputs, sources, strict=True)]
        job.digests = inputs, job.loader.digests()
    together = [other.stage for other in job.targets if other.dataset is not None]
    stages = target.stage if target.dataset is None else together
    return make_record(job.spec, job.options, stages, *(job.digests if digests and job.digests else ([], [])))


def plan_job(job: Job) -> Plan:
    """Return the plan of `job`, its sinks' needs counted.

    Raises
    ------
    BudgetError
        If nothing fits the memory budget.
    """
    job.holds_input = job.source.spool_bytes * _HOLD_SHARE <= job.budget
    try:
        return _plan(job)
    except BudgetError:
        if not (job.holds_input and job.source.spool_bytes):
            raise
        job.holds_input = False
        return _plan(job)


def _plan(job: Job) -> Plan:
    options, source = job.options, job.source
    volumes = [*map(str, job.inputs), *(target.name for target in job.targets)]
    uses_hdf5 = any(parse_volume_name(name).format == HDF5 for name in volumes) or job.loader.uses_hdf5
    packed = sum(s.info.nbytes for s in job.sinks if s.path is not None and s.path.name.lower().endswith(".gz"))
    resident = source.spool_bytes if job.holds_input else 0
    spooled = 0 if job.holds_input else source.spool_bytes

    def write_bytes(stage: str) -> Any:
        return lambda shape: max(sink.window_bytes(shape) for sink in job.sinks_of(stage))

    traffic = Traffic(
        resident,
        source.window_bytes,
        {target.stage: write_bytes(target.stage) for target in job.targets},
        spooled + sum(sink.scratch_bytes for sink in job.sinks),
        BASELINE_BYTES + (HDF5_BYTES if uses_hdf5 else 0),
        source.info.chunks,
        2 if source.info.axes == "kji" else 0,
        source.spool_bytes / _INFLATE_RATE + packed / _DEFLATE_RATE,
    )
    read = ", ".join(path.name for path in job.inputs)
    return make_plan(
        job.graph,
        budget=job.budget,
        traffic=traffic,
        threads=job.threads,
        tile=_tile_shape(options, job.graph),
        batch=source.info.batch,
        description=f"{job.spec.name} on {read}",
    )


def _tile_shape(options: Options, graph: Graph) -> Triple | None:
    if options.tile is None:
        return None
    shape = graph.wire(graph.outputs[0]).shape
    if isinstance(options.tile, str):
        return shape
    d, h, w = (min(t, s) for t, s in zip(options.tile, shape, strict=True))
    return (d, h, w)

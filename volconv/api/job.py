"""Puts a run together from names and options: spec, input, graph with its weights, and what the outputs are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingFileError, ShapeError, SpecError, UsageError, VolconvError
from ..formats.atomic import check_output
from ..formats.base import Sink, Source
from ..formats.names import parse_volume_name
from ..formats.open import open_source
from ..graph.build import build_graph, make_loader
from ..graph.model import Graph
from ..graph.passes import optimise
from ..graph.tensors import TensorLoader
from ..graph.trailing import Chain, split_trailing
from ..ops.base import Wire
from ..plan.model import Edges
from ..settings import memory_budget, thread_count
from ..spec.load import load_spec, load_spec_mapping
from ..spec.model import Spec
from .arguments import as_plain
from .options import Options
from .output_type import check_scores, end_in
from .prepared import prepare
from .targets import Target, list_saved, list_targets

if TYPE_CHECKING:  # plans have no use for it
    from ..run.job_folder import JobFolder


@dataclass
class Job:
    """A run that is ready to be planned.

    Attributes
    ----------
    spec, options, source, graph, loader
        What to do, on what, with what; `graph` is all that is computed tile by tile.
    chains : mapping
        Output name to what makes it of a whole label map after the last tile.
    inputs : list of Path
        The volumes as they were named, a mask behind them.
    targets : list of Target
        Every output.
    budget, threads : int
    sinks : list of Sink
        One a target, in their order; made by `open_sinks`.
    scratch : Path
    holds_input, holds_results : bool
        Whether a compressed input is decompressed into memory, and whether results wait there that are brought back to
        the scan's grid; settled by `plan_job`.
    digests : tuple of two lists, or None
        Names and SHA-256 of inputs and of weights, once they are known.
    folder : JobFolder or None
        Where finished tiles are kept, of a run that can be resumed.
    grids : tuple
        `Plan.grids` that the run which is resumed was begun with; empty where none is.
    resumed, damaged : int
        Tiles of that run which stand, and which do not, once they were looked at.
    spoilt : tuple of str
        Norms whose statistics are not finite, as some voxel of their inputs is not.
    named : tuple of str
        Spec, inputs and output, as they were named; of a spec that is no file its own name.
    held : ExitStack
        The claim on the outputs.
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
    holds_results: bool = True
    digests: tuple[list[dict[str, str]], list[dict[str, str]]] | None = None
    folder: JobFolder | None = None
    grids: tuple[Edges, ...] = ()
    resumed: int = 0
    damaged: int = 0
    chains: Mapping[str, Chain] = field(default_factory=dict)
    held: ExitStack = field(default_factory=ExitStack)
    named: tuple[str, ...] = ()
    spoilt: tuple[str, ...] = ()

    @property
    def files_read(self) -> list[Path]:
        """Every file the run reads: volumes, spec, weights."""
        spec = [Path(self.spec.source)] if self.spec.folder is not None else []
        return [*self.source.paths, *spec, *self.loader.files_read]

    @property
    def files_written(self) -> list[Path]:
        """Every file that the outputs become, known once sinks are open."""
        return list(dict.fromkeys(path for sink in self.sinks for path in sink.paths))

    def wire(self, stage: str) -> Wire:
        """Return the wire of an output."""
        return self.chains[stage].nodes[-1].wire if stage in self.chains else self.graph.wire(stage)

    def sinks_of(self, stage: str) -> list[Sink]:
        """Return the sinks that take the result of `stage`."""
        return [sink for target, sink in zip(self.targets, self.sinks, strict=True) if target.stage == stage]

    def close(self) -> None:
        """Let go of every file that is read, and of the outputs' names."""
        with self.held:
            self.source.close()
            self.loader.close()


def read_spec(spec: Any, settings: Mapping[str, Any]) -> Spec:
    """Return `spec` if it is one, else load it: a path, a preset's name, or a mapping of the same structure.

    Raises
    ------
    SpecError
        Its content is wrong.
    UsageError
        `settings` do not fit it: with its own defaults it is sound.
    """
    if isinstance(spec, Spec):
        return spec
    values = {name: as_plain(value) for name, value in settings.items()}
    try:
        return _load(spec, values)
    except SpecError as error:
        if values:
            _load(spec, {})
            raise _blame(values, error) from error
        raise


def _load(spec: Any, values: Mapping[str, Any]) -> Spec:
    return load_spec_mapping(spec, values) if isinstance(spec, Mapping) else load_spec(spec, values)


def _blame(settings: Iterable[str], error: SpecError) -> UsageError:
    return UsageError(
        f"--set {', '.join(settings)}: {error.message}", code="usage.parameter", file=error.file, where=error.where
    )


def open_job(
    spec: Any,
    inputs: Any,
    output: str | Path | None,
    options: Options,
    claim: Callable[[Sequence[Target]], AbstractContextManager[object]] | None = None,
) -> Job:
    """Return the job of running `spec` on `inputs`.

    Parameters
    ----------
    spec : str, path, mapping or Spec
    inputs : str, path, or sequence of them
        Several are the channels, in order.
    output : str, path or None
        None for planning alone.
    options : Options
    claim : callable, optional
        Called with the outputs before any of their names is looked at; what it returns is held until the job is closed.

    Raises
    ------
    VolconvError
        For everything that can be known from the command, the spec, the weights and the headers.
    """
    names = _list_names(inputs)
    budget, threads = memory_budget(_as_text(options.memory)), thread_count(options.threads)
    parsed = end_in(read_spec(spec, options.settings), options.output_type)
    targets = [] if output is None else list_targets(parsed, str(output), options.save)
    volumes = [parse_volume_name(name).path for name in names]
    with ExitStack() as undo:
        if claim is not None:
            undo.enter_context(claim(targets))
        if not options.skip_existing:
            _check_names(parsed, targets, volumes, options)
        source = _open_inputs(names, parsed, options)
        try:
            source, masks = prepare(source, parsed, options)
            job = _wire_job(parsed, spec, options, source, [*volumes, *masks], targets, budget, threads)
        except BaseException:
            source.close()
            raise
        job.named = (str(spec) if isinstance(spec, str | Path) else parsed.name, *names, str(output))
        job.held = undo.pop_all()
    return job


def _as_text(memory: str | int | None) -> str | None:
    return None if memory is None else str(memory)


def _list_names(inputs: Any) -> list[str]:
    names = [str(inputs)] if isinstance(inputs, str | Path) else [str(name) for name in inputs]
    if not names:
        raise UsageError("found no input, expected at least one volume")
    return names


def _check_names(spec: Spec, targets: Sequence[Target], volumes: Sequence[Path], options: Options) -> None:
    """Refuse, before anything is opened, what the names alone show to be wrong; `check_files` sees the rest."""
    mask = None if options.mask is None else parse_volume_name(options.mask).path
    for path in (options.weights, mask, *volumes):
        if path is not None and not _exists(path):
            raise MissingFileError("no such file", file=str(path))
    named = [path for path in (options.weights, mask) if path is not None]
    sources = [*volumes, *named, *([Path(spec.source)] if spec.folder else [])]
    for name in dict.fromkeys(target.name for target in targets):
        path = parse_volume_name(name).path
        if options.channels != "split":  # then this is no file's name
            check_output(path, sources, options.force or options.resume)  # a finished job's output is no error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for any file, or one in a folder that may not be read
        return False


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
        if len(sources) == 1:
            return sources[0]
        from ..formats.stacked import StackedSource

        return StackedSource(sources)
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
        graph = build_graph(spec, wire, loader, list_saved(spec, options.save))
    except SpecError as error:
        loader.close()
        blame_settings(error, given, wire, options)
        if error.code == "volume.channels":
            _blame_axes(error, source)
        raise
    except BaseException:
        loader.close()
        raise
    try:
        check_scores(spec, graph, options.output_type)
        graph, chains = split_trailing(optimise(graph, options.algorithm))
        if chains:  # only then: the engine and what it needs load slowly
            from ..run.label_maps import check_installed

            check_installed(chains)
    except BaseException:
        loader.close()
        raise
    return Job(spec, options, source, graph, loader, volumes, targets, budget, threads, chains=chains)


def _blame_axes(error: SpecError, source: Source) -> None:
    """Raise `error` anew, with a word on axes that nobody said, if there are such: the channels may lie elsewhere."""
    for each in getattr(source, "sources", [source]):
        assumed = each.info.meta.get("hdf5", {}).get("assumed_axes")
        if assumed:
            raise ShapeError(
                f"found {error.found}, where {each.path} does not say its axes and {assumed} were assumed "
                f"(--axes says them), expected {error.expected}",
                code=error.code,
                file=error.file,
                where=error.where,
            ) from error


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
    raise _blame(options.settings, error) from error

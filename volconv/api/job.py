"""Puts a run together from names and options: spec, input, graph with its weights, and what the outputs are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import MissingFileError, ShapeError, SpecError, UsageError, VolconvError
from ..formats.atomic import check_output
from ..formats.base import Sink, Source
from ..formats.names import parse_volume_name
from ..formats.open import open_source
from ..graph.build import build_graph, make_loader
from ..graph.model import Graph
from ..graph.passes import optimise
from ..graph.tensors import TensorLoader
from ..ops.base import Wire
from ..settings import memory_budget, thread_count
from ..spec.load import load_spec, load_spec_mapping
from ..spec.model import Spec
from .arguments import as_plain
from .options import Options
from .targets import Target, list_saved, list_targets


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
        return [*self.source.paths, *spec, *self.loader.files_read]

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
        graph = optimise(build_graph(spec, wire, loader, list_saved(spec, options.save)), options.algorithm)
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

"""A command's outputs from the first look at their names to the moment they appear: claimed, then shown together."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..formats.atomic import remove_if_free, remove_stale_parts, resolve_output
from ..formats.base import Sink
from ..formats.commit import publish
from ..formats.commit_list import place, roll_forward
from ..formats.names import is_file_of, parse_volume_name
from ..formats.run_folder import RunFolder, folder_of
from .job import Job
from .summary import write_depfile, write_sidecar

_PART_NAME = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)


@contextlib.contextmanager
def claim(
    names: Sequence[str], warn: Callable[[str], object], *, split: bool = False, beside: Sequence[Path] = ()
) -> Iterator[None]:
    """Keep other runs away from outputs, and first of all clear up what a killed one has left of them.

    A run that was killed while it named its files is finished: what it had computed is whole.

    Parameters
    ----------
    names : sequence of str
        The outputs as the user named them; each one's folder holds a lock, the first one's what a killed run left.
    warn : callable
        Told what was finished.
    split : bool
        Whether an output may become one file a channel.
    beside : sequence of Path
        Files that appear with the outputs.

    Raises
    ------
    OutputError
        Another run is writing one of the outputs, or a killed one had other outputs.
    FormatError
        What a killed run has left cannot be read.
    RunError
        The disk fails.
    """
    folders = {name: place(parse_volume_name(name).path).parent for name in names}
    others = {place(path) for path in beside}

    def is_output(path: Path) -> bool:
        return path in others or any(
            path.parent == folder and is_file_of(path.name, name, split) for name, folder in folders.items()
        )

    with ExitStack() as held:
        for path in dict.fromkeys(parse_volume_name(name).path for name in names):
            held.callback(RunFolder(path).release)
        if said := roll_forward(folder_of(parse_volume_name(names[0]).path), is_output):
            warn(said)
        _remove_parts(names, set(folders.values()), is_output)
        yield


def _remove_parts(names: Sequence[str], folders: set[Path], is_output: Callable[[Path], bool]) -> None:
    """Remove part files of outputs that no living process holds."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for part in list(folder.iterdir()):
                match = _PART_NAME.fullmatch(part.name)
                if match is not None and is_output(folder / match[1]):
                    remove_if_free(part)
    for name in names:  # links point elsewhere
        with contextlib.suppress(OutputError):
            remove_stale_parts(resolve_output(parse_volume_name(name).path))


def show_together(sinks: Sequence[Sink], output: str | Path) -> None:
    """Complete all sinks, then give all their files their names; see `volconv.formats.commit.publish`."""
    for sink in sinks:
        sink.complete()
    publish([unit for sink in sinks for unit in sink.units], folder_of(parse_volume_name(output).path))


def commit(job: Job, summarise: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Show the outputs of `job` and what belongs beside them; return the summary.

    The depfile comes before the outputs, for Make takes an output that is there for up to date; the sidecar with them.
    """
    for sink in job.sinks:
        sink.complete()
    summary = summarise()
    units = [unit for sink in job.sinks for unit in sink.units]
    with ExitStack() as undo:
        if job.options.sidecar:
            places = {Path(part.name): part.path for unit in units for part in unit}
            part = write_sidecar(job, summary, places)
            undo.callback(part.abort)
            units.append((part,))
        if job.options.depfile is not None:
            write_depfile(job, job.options.depfile)
        publish(units, folder_of(parse_volume_name(job.targets[0].name).path))
    return summary

"""Which outputs a run has, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..formats.names import HDF5, VolumeName, parse_volume_name
from ..spec.model import Spec
from ..values import nearest


@dataclass(frozen=True)
class Target:
    """One output.

    Attributes
    ----------
    stage : str
        Whose result it holds.
    name : str
        As `open_sink` takes it.
    dataset : str or None
        Inside an HDF5 file that holds several outputs.
    """

    stage: str
    name: str
    dataset: str | None = None

    @property
    def full_name(self) -> str:
        """Name of the volume, as `open_source` takes it."""
        return self.name if self.dataset is None else f"{self.name}:{self.dataset}"


def list_targets(spec: Spec, output: str, save: Mapping[str, str]) -> list[Target]:
    """Return the outputs of `spec` at `output` and those of ``--save``.

    One output bears the name itself; several are ``OUT_<stage>.nii.gz``, or datasets ``/<stage>`` of one HDF5 file.

    Raises
    ------
    UsageError
        If a name says no format, a stage of ``--save`` does not exist, or two outputs share a name or a file.
    """
    volume = parse_volume_name(output)
    if len(spec.outputs) == 1:
        targets = [Target(spec.outputs[0], output)]
    elif volume.format == HDF5:
        if volume.dataset is not None:
            raise UsageError(
                f"a dataset is named for {len(spec.outputs)} outputs, expected the file alone", file=output
            )
        targets = [Target(stage, output, f"/{stage}") for stage in spec.outputs]
    else:
        targets = [Target(stage, str(_with_stage(volume, stage))) for stage in spec.outputs]
    targets.extend(Target(stage, path) for stage, path in zip(list_saved(spec, save), save.values(), strict=True))
    _refuse_twins(targets)
    return targets


def list_saved(spec: Spec, save: Iterable[str]) -> tuple[str, ...]:
    """Return the stage that each name of ``--save`` stands for: itself, or the last one of a block."""
    known = [*(stage.name for stage in spec.stages), *spec.blocks]
    for name in save:
        if name not in known:
            raise UsageError(f"--save: found stage {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    return tuple(spec.blocks.get(name, name) for name in save)


def _with_stage(volume: VolumeName, stage: str) -> Path:
    return volume.path.with_name(f"{volume.stem}_{stage}{volume.suffix}")


def _refuse_twins(targets: Iterable[Target]) -> None:
    """Raise `UsageError` for two outputs of one name, and for two in one file unless both are the spec's own."""
    seen: dict[str, list[tuple[str | None, bool]]] = {}
    for target in targets:
        volume = parse_volume_name(target.name)
        pair = volume.suffix in (".hdr", ".img")
        path = os.path.realpath(volume.path.with_name(volume.stem + ".hdr") if pair else volume.path)
        dataset, shares = target.dataset or volume.dataset, target.dataset is not None
        others = seen.setdefault(path, [])
        if any(dataset == other for other, _ in others):
            raise UsageError("two outputs have this name, expected one each", code="output.twice", file=target.name)
        if others and not (shares and all(also for _, also in others)):
            raise UsageError(
                "another output is in this file, which two names cannot share; list both stages in the spec's outputs, "
                f"and give {volume.path} alone as the output",
                code="output.twice",
                file=target.name,
            )
        others.append((dataset, shares))


def sidecar_path(targets: Sequence[Target]) -> Path:
    """Return where the sidecar goes: the first output's name with ``.json`` for its ending."""
    volume = parse_volume_name(targets[0].name)
    return volume.path.with_name(f"{volume.stem}.json")

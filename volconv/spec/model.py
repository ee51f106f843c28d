"""What a spec file says, checked for form but not yet for shapes: plain frozen data, no text, no arrays of voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dialects import dialect_names
from ..values import Length, Place

NOWHERE = Place()
FORMAT_VERSION = 1
DTYPES = ("float32", "float64", "float16", "bfloat16")
DIALECTS = dialect_names()
LAYOUTS = (*DIALECTS, "keras")


@dataclass(frozen=True)
class Parameter:
    """A value that ``--set`` may change.

    Attributes
    ----------
    default : object
        As written, a `Length` where `unit` is given.
    unit : str or None
        ``mm`` or ``voxel``: of a bare number; None for values that are no lengths.
    minimum, maximum : float or None
        Inclusive bounds (spec keys ``min`` and ``max``).
    """

    name: str
    default: Any
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    help: str = ""
    place: Place = NOWHERE


@dataclass(frozen=True)
class KeySource:
    """A tensor of the top-level weights file, by its dotted key."""

    key: str
    place: Place = NOWHERE


@dataclass(frozen=True)
class FileSource:
    """A tensor of a weights file of its own; `key` None where the file holds a single one."""

    file: str
    key: str | None = None
    place: Place = NOWHERE


@dataclass(frozen=True)
class InlineSource:
    """Nested numbers in the spec itself."""

    values: Any
    place: Place = NOWHERE


@dataclass(frozen=True)
class GeneratorSource:
    """A generated filter bank: `values` are the generator's parameters as written."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    place: Place = NOWHERE


@dataclass(frozen=True)
class InitSource:
    """Random numbers from the dialect's own distribution, on request and by seed."""

    kind: str
    seed: int
    place: Place = NOWHERE


TensorSource = KeySource | FileSource | InlineSource | GeneratorSource | InitSource


@dataclass(frozen=True)
class Stage:
    """One stage as written.

    Attributes
    ----------
    name, op : str
        Its name (made from the op where none is given) and its operator.
    inputs : tuple of str
        Names of the stages it reads; ``input`` is the volume.
    values : mapping
        The operator's parameters, ``$name`` replaced; a bool ``bias`` stands here.
    tensors : mapping
        ``weight``, ``bias`` and the entries of ``tensors:`` where the spec says where they come from.
    place, places
        Of the stage, and of each of its keys.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, TensorSource] = field(default_factory=dict)
    place: Place = NOWHERE
    places: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class InputSpec:
    """The ``input:`` section."""

    channels: int = 1
    axes: str = "kji"
    place: Place = NOWHERE


@dataclass(frozen=True)
class WeightsFile:
    """The top-level ``weights:``: a file relative to the spec's folder and a key prefix.

    `layout` is one of `LAYOUTS`, whose axes the tensors have; empty where unsaid: the format's own, else the spec's.
    """

    file: str
    prefix: str = ""
    layout: str = ""
    place: Place = NOWHERE


@dataclass(frozen=True)
class Spec:
    """A whole spec, parameters put in.

    Attributes
    ----------
    settings : mapping
        Effective value of every parameter, defaults included.
    source : str
        The file's name as the user gave it (or ``preset NAME``), for messages.
    folder : Path or None
        Where relative paths start, and must stay; None where there is no file.
    text, digest : str
        The text as read and its SHA-256.
    blocks : mapping
        Name of each block of stages, and of each repetition, to the stage whose result it stands for.
    """

    name: str
    stages: tuple[Stage, ...]
    outputs: tuple[str, ...]
    description: str = ""
    dialect: str = "torch"
    dtype: str = "float32"
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    settings: Mapping[str, Any | Length] = field(default_factory=dict)
    input: InputSpec = InputSpec()
    weights: WeightsFile | None = None
    source: str = ""
    folder: Path | None = None
    text: str = ""
    digest: str = ""
    blocks: Mapping[str, str] = field(default_factory=dict)

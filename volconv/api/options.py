"""The options of `run` and `plan`, checked: one record instead of twenty arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from operator import index
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..geometry import Floats3, Triple
from ..graph.passes import ALGORITHMS
from ..values import describe, nearest
from .arguments import as_plain

OUTPUT_DTYPES = (
    *(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("u", "")),
    "float16",
    "float32",
    "float64",
)

OUTPUT_TYPES = ("features", "softmax", "argmax")


@dataclass(frozen=True)
class Options:
    """What a run may be told; names are those of the command line's long options.

    Attributes
    ----------
    weights, scratch, depfile : path or None
    mask : path or None
        Takes the place of the spec's ``input.mask``.
    settings : mapping
        Parameter values of the spec (``--set``).
    axes : str or None
        Axes letters of HDF5 inputs that do not say.
    spacing : three floats or None
        D, H, W in mm, for inputs that do not say.
    memory : str, int or None
        Budget as text (``2GB``) or bytes; default half of what the process may use.
    tile : three ints, ``"whole"`` or None
        Output size of a tile.
    threads : int or None
    algorithm : str
        ``auto`` or ``direct``.
    output_type : str or None
        ``features``, ``softmax`` or ``argmax``: what outputs are, where the spec leaves it open.
    dtype : str or None
        Of the output file.
    channels : str
        ``4d``, ``vector`` or ``split``.
    save : mapping
        Stage name to a path its result is also written to.
    resume : bool
        Keep finished tiles, and begin with those that a run which was cut off has kept.
    """

    weights: Path | None = None
    mask: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    axes: str | None = None
    spacing: Floats3 | None = None
    memory: str | int | None = None
    scratch: Path | None = None
    tile: Triple | str | None = None
    threads: int | None = None
    algorithm: str = "auto"
    output_type: str | None = None
    dtype: str | None = None
    channels: str = "4d"
    save: Mapping[str, str] = field(default_factory=dict)
    force: bool = False
    skip_existing: bool = False
    resume: bool = False
    depfile: Path | None = None
    sidecar: bool = False


def make_options(**given: Any) -> Options:
    """Return the options of keyword arguments.

    Raises
    ------
    UsageError
        For an unknown name, a value that makes no sense, or one that this version does not carry out.
    """
    known = [f.name for f in fields(Options)]
    for name in given:
        if name not in known:
            raise UsageError(f"found option {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    values = {name: value for name, value in given.items() if value is not None}
    for name in ("weights", "mask", "scratch", "depfile"):
        if name in values:
            values[name] = Path(values[name])
    _check_choice(values, "algorithm", ALGORITHMS)
    _check_choice(values, "channels", ("4d", "vector", "split"))
    _check_choice(values, "output_type", OUTPUT_TYPES)
    _check_choice(values, "dtype", OUTPUT_DTYPES)
    values["tile"] = _check_three(values.get("tile"), "tile", index, also="whole")
    values["spacing"] = _check_three(values.get("spacing"), "spacing", float)
    values["settings"] = {name: as_plain(value) for name, value in values.get("settings", {}).items()}
    values["save"] = {stage: str(path) for stage, path in values.get("save", {}).items()}
    threads = values.get("threads")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise UsageError(f"found threads {describe(threads)}, expected a whole number of at least 1")
    return Options(**values)


def _check_choice(values: Mapping[str, Any], name: str, options: tuple[str, ...]) -> None:
    if name in values and values[name] not in options:
        raise UsageError(f"found {name} {describe(values[name])}, expected one of {', '.join(options)}")


def _check_three(value: Any, name: str, kind: Callable[[Any], float], also: str | None = None) -> Any:
    if value is None or (isinstance(value, str) and value == also):
        return value
    try:
        parts = tuple(kind(part) for part in value)
    except (TypeError, ValueError):
        parts = ()
    if len(parts) != 3 or not all(0 < part < 2**40 for part in parts):
        raise UsageError(f"found {name} {describe(value)}, expected three positive numbers D,H,W")
    return parts

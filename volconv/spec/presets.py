"""The shipped presets: their names, texts, one-line descriptions and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError, show
from ..values import nearest
from .check import read_declared
from .model import Parameter
from .text import parse_tree

_SUFFIX = ".yaml"


class PresetSummary(NamedTuple):
    """One line of the list of presets."""

    name: str
    description: str
    parameters: Mapping[str, Parameter]


def _folder() -> Path:
    return Path(import_module("volconv.presets").__path__[0])


def preset_names() -> tuple[str, ...]:
    """Return the names of the shipped presets, sorted."""
    return tuple(sorted(f.name.removesuffix(_SUFFIX) for f in _folder().iterdir() if f.name.endswith(_SUFFIX)))


def preset_text(name: str) -> str:
    """Return the YAML text of preset `name`.

    Raises
    ------
    UsageError
        There is none by that name.
    """
    names = preset_names()
    if name not in names:
        raise UsageError(
            f"found no preset {show(repr(name[:100]))}, expected one of {', '.join(names)}{nearest(name, names)}",
            code="usage.preset",
        )
    return _folder().joinpath(name + _SUFFIX).read_text(encoding="utf-8")


def preset_source(name: str) -> str:
    """Return what messages call preset `name`."""
    return f"preset {name}"


def describe_presets() -> list[PresetSummary]:
    """Return name, one-line description (the text's first comment) and parameters of every preset."""
    return [_describe(name) for name in preset_names()]


def _describe(name: str) -> PresetSummary:
    text = preset_text(name)
    _, parameters = read_declared(parse_tree(text, preset_source(name)), preset_source(name))
    return PresetSummary(name, text.partition("\n")[0].lstrip("# ").rstrip(), parameters)

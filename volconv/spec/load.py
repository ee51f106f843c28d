"""A name on the command line, a text or a Python mapping into a checked `Spec`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..errors import SpecError, UsageError, show
from ..values import nearest
from .check import build_spec
from .model import Spec
from .parameters import PARAMETER_NAME
from .presets import preset_names, preset_source, preset_text
from .text import parse_tree, read_text
from .tree import Item, build_node

SUFFIXES = (".yaml", ".yml", ".json")
MAPPING_SOURCE = "spec"


def load_spec(source: str | os.PathLike[str], settings: Mapping[str, object] | None = None) -> Spec:
    """Return the spec that `source` names.

    Parameters
    ----------
    source : str or path
        A path ending in ``.yaml``, ``.yml`` or ``.json``, else the name of a preset.
    settings : mapping, optional
        New values of the spec's parameters: numbers, `Length`, text such as ``"2mm"``, lists of them.

    Raises
    ------
    MissingFileError, UsageError
        The file cannot be read, the preset is unknown, a setting does not fit a parameter.
    SpecError
        The content is wrong: names file, line, column and key.
    """
    name = os.fspath(source)
    if is_spec_path(name):
        path = Path(name)
        return parse_spec(read_text(path), name, path.parent, settings)
    if name not in preset_names():
        _refuse_name(name)
    return parse_spec(preset_text(name), preset_source(name), None, settings)


def is_spec_path(name: str) -> bool:
    """Whether `name` means a spec file; otherwise it means a preset."""
    return name.lower().endswith(SUFFIXES)


def _refuse_name(name: str) -> NoReturn:
    names = preset_names()
    try:
        is_path = "/" in name or os.path.lexists(name)
    except ValueError:  # NUL in the name
        is_path = False
    hint = f"; the path of a spec ends in {', '.join(SUFFIXES)}" if is_path else nearest(name, names)
    raise UsageError(
        f"found no preset {show(repr(name[:100]))}, expected one of {', '.join(names)}{hint}", code="usage.preset"
    )


def parse_spec(
    text: str, source: str = "", folder: Path | None = None, settings: Mapping[str, object] | None = None
) -> Spec:
    """Return the spec that `text` spells: JSON where `source` ends in ``.json``, else YAML 1.2.

    Parameters
    ----------
    text : str
    source : str, optional
        The file's name as the user gave it, for messages.
    folder : Path, optional
        Where relative paths start, and must stay.
    settings : mapping, optional
        As in `load_spec`.
    """
    return build_spec(parse_tree(text, source), text, source, folder, settings)


def load_spec_mapping(
    mapping: Mapping[str, Any], settings: Mapping[str, object] | None = None, folder: Path | None = None
) -> Spec:
    """Return the spec that a Python mapping of the same structure holds; arrays may stand for nested numbers."""
    node = build_node(mapping)
    text = json.dumps(Item(node, "").plain(), ensure_ascii=False, default=str)
    return build_spec(node, text, MAPPING_SOURCE, folder, settings)


def parse_setting(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``; VALUE is read as YAML, ``2mm`` stays text.

    Raises
    ------
    UsageError
        There is no ``=``, no name, or VALUE is not one number, text, true, false or a list.
    """
    name, equals, value = text.partition("=")
    if not equals or not PARAMETER_NAME.match(name):
        raise UsageError(
            f"found {show(repr(text[:60]))}, expected NAME=VALUE such as sigma=2mm",
            code="usage.parameter",
            where="--set",
        )
    where = f"--set {name}"
    try:
        item = Item(parse_tree(value, ""), "")
    except SpecError as error:
        raise UsageError(
            f"{error.message} (in {show(repr(value[:60]))})", code="usage.parameter", where=where
        ) from error
    scalars = item.elements() if isinstance(item.value, tuple) else [item]
    if any(s.value is None or isinstance(s.value, tuple | dict) for s in scalars):
        found = "nothing" if not value.strip() else show(repr(value[:60]))
        raise UsageError(
            f"found {found}, expected a number, a length, text, true, false or a list",
            code="usage.parameter",
            where=where,
        )
    return name, item.plain()

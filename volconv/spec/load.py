"""A name on the command line, a text or a Python mapping into a checked `Spec`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .model import Spec


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
    raise NotImplementedError


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
    raise NotImplementedError


def load_spec_mapping(
    mapping: Mapping[str, Any], settings: Mapping[str, object] | None = None, folder: Path | None = None
) -> Spec:
    """Return the spec that a Python mapping of the same structure holds; arrays may stand for nested numbers."""
    raise NotImplementedError


def parse_setting(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``; VALUE is read as YAML, ``2mm`` stays text.

    Raises
    ------
    UsageError
        There is no ``=``, no name, or VALUE is not one number, text, true, false or a list.
    """
    raise NotImplementedError

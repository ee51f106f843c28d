"""Reads what a command line gives as text and a Python caller as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def parse_settings(texts: Mapping[str, str]) -> dict[str, object]:
    """Return parameter values for `settings` from the texts of ``--set``.

    Parameters
    ----------
    texts : mapping
        Parameter name to its value as written in YAML: ``{"sigma": "2mm", "truncate": "3"}``.

    Raises
    ------
    UsageError
        If a text is no YAML scalar or flow collection.
    """
    from ..spec.load import parse_setting

    return dict(parse_setting(f"{name}={text}") for name, text in texts.items())


def as_plain(value: Any) -> Any:
    """Return NumPy numbers, arrays and tuples as the plain values a spec holds."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return [as_plain(part) for part in value] if isinstance(value, list | tuple) else value

"""Finds a dialect by name."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ..errors import SpecError
from .reader import Dialect


def get_dialect(name: str) -> Dialect:
    """Return the dialect whose file is ``dialects/NAME.py``.

    Raises
    ------
    SpecError
        If there is none by that name.
    """
    module = f"{__package__}.dialects.{name}"
    if not name.isidentifier() or find_spec(module) is None:
        raise SpecError(f"found dialect {name!r}, expected one that this version knows: torch")
    dialect: Dialect = import_module(module).DIALECT
    return dialect

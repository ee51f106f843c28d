"""Finds a dialect by name: each is a file of the folder ``dialects``."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from ..errors import SpecError, show
from ..values import nearest
from . import dialects
from .reader import Dialect


def dialect_names() -> tuple[str, ...]:
    """Return the names of all dialects, torch, the default, first."""
    names = sorted(module.name for module in iter_modules(dialects.__path__))
    return ("torch", *(name for name in names if name != "torch"))


def get_dialect(name: str) -> Dialect:
    """Return the dialect whose file is ``dialects/NAME.py``.

    Raises
    ------
    SpecError
        If there is none by that name.
    """
    names = dialect_names()
    if name not in names:
        hint = nearest(name, names)
        raise SpecError(f"found dialect {show(repr(name))}, expected one of {', '.join(names)}{hint}")
    dialect: Dialect = import_module(f"{dialects.__name__}.{name}").DIALECT
    return dialect

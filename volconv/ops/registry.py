"""Finds a dialect by name: each is a file of the folder ``dialects``."""

from __future__ import annotations

from importlib import import_module

from ..dialects import dialect_names
from ..errors import SpecError, show
from ..values import nearest
from .base import Op
from .reader import Dialect, Shape


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
        raise SpecError(
            f"found dialect {show(repr(name))}, expected one of {', '.join(names)}{hint}", code="spec.unknown"
        )
    dialect: Dialect = import_module(f"{__package__}.dialects.{name}").DIALECT
    return dialect


def find_layouts(op_name: str, op: Op, shape: Shape) -> tuple[str, ...]:
    """Return the dialects in whose layout the weight of `op` has `shape`."""
    readers = ((name, get_dialect(name).readers.get(op_name)) for name in dialect_names())
    return tuple(name for name, reader in readers if reader and reader.stored_shapes(op).get("weight") == shape)

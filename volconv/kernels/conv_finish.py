"""The part of a convolution's epilogue that is not done in registers: activations that are polynomials.

They are applied to each row just stored, while it is in the first-level cache, by the functions that `pointwise` uses.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .activations import make_activations
from .catalog import ACTIVATIONS
from .jit import device, inlined


def make_activate_row(real: Any, code: int) -> Any:
    """Return a device function that applies activation number `code` of the catalog to a row in place.

    ``activate_row(values, count, step, table, columns)`` replaces `count` values that lie `step` elements apart; the
    activation's parameters lie in rows LOW and HIGH of the epilogue's `table` of `columns` columns.
    """
    name = list(ACTIVATIONS)[code]
    act = _with_two_parameters(name, make_activations(real)[name])

    def activate_row(values: Any, count: Any, step: Any, table: Any, columns: Any) -> None:
        p, q = table[at.LOW * columns], table[at.HIGH * columns]
        if step == 1:
            for i in range(count):
                values[i] = act(values[i], p, q)
        else:
            for i in range(count):
                values[i * step] = act(values[i * step], p, q)

    return device(rename(activate_row, f"{name}_row_of_conv"))


def rename(function: Any, name: str) -> Any:
    """Return `function` under a name that tells what it closes over: compiled symbols are made of names."""
    function.__name__ = function.__qualname__ = name
    return function


def _with_two_parameters(name: str, activation: Any) -> Any:
    def with_none(v: Any, _p: Any, _q: Any) -> Any:
        return activation(v)

    def with_one(v: Any, p: Any, _q: Any) -> Any:
        return activation(v, p)

    def with_two(v: Any, p: Any, q: Any) -> Any:
        return activation(v, p, q)

    chosen = (with_none, with_one, with_two)[len(ACTIVATIONS[name])]
    return inlined(rename(chosen, f"{name}_of_conv"))

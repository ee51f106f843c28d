"""The readers of a dialect, of which families that few specs ask for are loaded late."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from .reader import OpReader

Family = Callable[[], Mapping[str, OpReader]]


def later(module: str, find: Callable[[Any], Mapping[str, OpReader]]) -> Family:
    """Return a family that is imported when it is asked for: what `find` finds in `module`, a file of this folder."""
    return lambda: find(import_module(f".{module}", __package__))


class Readers(Mapping[str, OpReader]):
    """A dialect's readers by the operator's name.

    Operators are many files, and loading them all takes longer than reading a spec that has two of them. So a family is
    loaded when a name is asked for that none before it has; listing the names loads them all.

    Parameters
    ----------
    first : mapping
        Those of the operators that most specs have.
    families : callables
        See `later`; no name is in two of them.
    """

    def __init__(self, first: Mapping[str, OpReader], *families: Family) -> None:
        self._families: list[Family] = [lambda: first, *(cache(family) for family in families)]

    def __getitem__(self, name: str) -> OpReader:
        for family in self._families:
            if name in family():
                return family()[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for family in self._families:
            yield from family()

    def __len__(self) -> int:
        return sum(map(len, (family() for family in self._families)))

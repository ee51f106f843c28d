"""A spec's text as a tree in which every value knows its line and column. Knows no key of the format."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from ..errors import SpecError, show
from ..values import Length, Place, describe, nearest

MAX_DEPTH = 50
MAX_NODES = 100_000
_LONGEST_INTEGER = 24


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the text.

    Attributes
    ----------
    value : object
        None, bool, int, float, str, `Length`, a tuple of nodes, or a dict of key to node.
    line, column : int
        1-based: of the value itself in a list, of its key in a mapping; 0 where there is no text.
    """

    value: Any
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Item:
    """A node together with the file and the dotted key that lead to it."""

    node: Node
    file: str
    key: str = ""

    @property
    def value(self) -> Any:
        """What the node holds."""
        return self.node.value

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.file, self.node.line, self.node.column, self.key)

    @cached_property
    def found(self) -> str:
        """The value as an error message shows it."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, tuple):
            return f"a list of {len(self.value)}"
        return describe(self.value)

    def fail(self, expected: str, found: str | None = None, *, code: str = "spec.value") -> NoReturn:
        """Raise the `SpecError` that says what was found here and what was expected."""
        fail_at(self.place, found or self.found, expected, code=code)

    def entries(self, expected: str = "a mapping") -> dict[str, Item]:
        """Return the entries of a mapping."""
        if not isinstance(self.value, dict):
            self.fail(expected)
        prefix = f"{self.key}." if self.key else ""
        return {key: Item(node, self.file, prefix + _short(key)) for key, node in self.value.items()}

    def elements(self, expected: str = "a list") -> list[Item]:
        """Return the elements of a list."""
        if not isinstance(self.value, tuple):
            self.fail(expected)
        return [Item(node, self.file, f"{self.key}[{i}]") for i, node in enumerate(self.value)]

    def refuse_unknown(self, known: Iterable[str], later: Iterable[str] = ()) -> None:
        """Raise for the first key not in `known`; one in `later` is a key this version does not carry out."""
        names = list(known)
        for key, entry in self.entries().items():
            if key in later:
                entry.fail(
                    f"one of {', '.join(names)}",
                    f"the key {key}, which is not supported by this version",
                    code="spec.unknown",
                )
            if key not in names:
                close = nearest(key, [*names, *later])
                entry.fail(
                    f"one of {', '.join(names)}{close}", f"unknown key {show(repr(key[:60]))}", code="spec.unknown"
                )

    def text(self, expected: str = "text") -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            self.fail(expected)
        return self.value

    def integer(self, minimum: int, maximum: int) -> int:
        """Return an int in ``[minimum, maximum]``; true, false and 1.0 are not ints."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.fail(f"a whole number from {minimum} to {maximum}")
        return value

    def choice(self, options: Iterable[str], later: Iterable[str] = ()) -> str:
        """Return one of the strings `options`; one of `later` is known but not supported by this version."""
        names = list(options)
        if isinstance(self.value, str) and self.value in later:
            self.fail(f"{' or '.join(names)}", f"{self.value}, which is not supported by this version")
        if not isinstance(self.value, str) or self.value not in names:
            close = nearest(self.value, [*names, *later]) if isinstance(self.value, str) else ""
            self.fail(f"one of {', '.join(names)}{close}")
        return self.value

    def plain(self) -> Any:
        """Return the value as Python data: lists and dicts instead of nodes."""
        return _plain(self.node)


def _short(key: str) -> str:
    return key if len(key) <= 100 else f"{key[:97]}..."


def list_names(names: Iterable[str]) -> str:
    """Return `names` as a message lists them: 20 at most."""
    listed = list(names)
    return ", ".join(listed) if len(listed) <= 20 else f"{', '.join(listed[:20])}, ..."


def fail_at(place: Place, found: str, expected: str, *, code: str = "spec.value") -> NoReturn:
    """Raise the `SpecError` for `place`."""
    raise SpecError(f"found {found}, expected {expected}", code=code, file=place.file or None, where=str(place) or None)


def fail_text(place: Place, found: str, expected: str, *, code: str = "spec.text") -> NoReturn:
    """Raise the `SpecError` for text at `place` that no tree can be read from."""
    fail_at(place, found, expected, code=code)


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [_plain(child) for child in node.value]
    return node.value


def has_surrogates(text: str) -> bool:
    """Whether `text` holds a half of a surrogate pair, which no file can be written with."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def read_number(text: str, base: int = 10) -> int | float | str:
    """Return the finite number that `text` spells, or a description of why there is none.

    The caller has checked the form. Integers beyond 64 bits are refused: they are typing errors, and converting
    thousands of digits takes time.
    """
    if base != 10 or re.fullmatch(r"[-+]?[0-9]+", text):
        if len(text) > _LONGEST_INTEGER or abs(int(text, base)) >= 2**63:
            return f"a whole number of {len(text)} characters"
        return int(text, base)
    value = float(text)
    return value if math.isfinite(value) else f"{describe(text)[1:-1]}, which is out of range"


def build_node(value: Any, line: int = 0, column: int = 0, depth: int = 0) -> Node:
    """Make a tree of Python data: mappings, lists, tuples, numbers, strings, NumPy arrays and scalars.

    Raises
    ------
    SpecError
        It is nested too deeply, holds NaN, infinity or an object that no spec can hold.
    """
    if depth > MAX_DEPTH:
        raise SpecError(f"found values nested deeper than {MAX_DEPTH}, expected fewer levels", code="spec.too_large")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return Node({_key(k): build_node(v, line, column, depth + 1) for k, v in value.items()}, line, column)
    if isinstance(value, list | tuple):
        return Node(tuple(build_node(v, line, column, depth + 1) for v in value), line, column)
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"found {value}, expected a finite number")
    if value is not None and not isinstance(value, bool | int | float | str | Length):
        raise SpecError(f"found an object of type {type(value).__name__}, expected numbers, text, lists, mappings")
    return Node(value, line, column)


def _key(key: Any) -> str:
    if isinstance(key, int) and not isinstance(key, bool):  # labels, which text spells with digits
        return str(key)
    if not isinstance(key, str):
        raise SpecError(f"found the key {describe(key)}, expected text")
    return key

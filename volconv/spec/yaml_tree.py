"""YAML 1.2 text into a tree of placed values: the core schema only, no aliases, no tags, one document.

Reads the event stream of ruamel.yaml and counts before it keeps anything, so that no object is ever constructed
from the text and hostile files end early.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.main import YAML
from ruamel.yaml.scanner import Scanner

from ..errors import SpecError
from ..values import Place, describe
from .tree import MAX_DEPTH, MAX_NODES, Node, fail_text, has_surrogates, read_number

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_LONGEST = 2**16
_ENDLESS = re.compile(rf"[^\s,]{{{_LONGEST + 1}}}")


class _RefusedError(Exception):
    """A construct of YAML that a spec may not use; `args` are the mark, what was found, what was expected."""


class _Scanner(Scanner):
    """Stops at constructs that specs do without, before their text is scanned.

    Aliases make small files huge, tags name types to construct, and scanning a long tag takes quadratic time.
    """

    def fetch_alias(self) -> Any:
        self._refuse("an alias (*)", "the value written out")

    def fetch_anchor(self) -> Any:
        self._refuse("an anchor (&)", "the value alone")

    def fetch_tag(self) -> Any:
        self._refuse("a tag (!)", "the value alone; text that begins with ! goes in quotes")

    def _refuse(self, found: str, expected: str) -> NoReturn:
        raise _RefusedError(self.reader.get_mark(), found, expected)


def read_yaml(text: str, file: str) -> Node:
    """Return the tree of the one document in `text`.

    Raises
    ------
    SpecError
        With line and column: not YAML, or YAML that a spec may not use (tabs, several documents, duplicate keys,
        aliases, tags, more than `MAX_NODES` values, deeper than `MAX_DEPTH`).
    """
    _check_ahead(text, file)
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    builder = _Builder(file)
    try:
        for event in yaml.parse(text):
            builder.add(event)
    except _RefusedError as refused:
        mark, found, expected = refused.args
        fail_text(_place(file, mark), found, expected)
    except SpecError:
        raise
    except MarkedYAMLError as error:
        fail_text(_place(file, error.problem_mark or error.context_mark), f"no YAML: {_problem(error)}", "YAML 1.2")
    except (YAMLError, ValueError, OverflowError) as error:  # chr() of an escape beyond Unicode raises ValueError
        fail_text(Place(file, *builder.position), f"no YAML: {error}", "YAML 1.2")
    return builder.finish()


def _problem(error: MarkedYAMLError) -> str:
    context = error.context or ""
    if error.context_mark is not None and error.problem_mark is not None:
        context += f" that began in line {error.context_mark.line + 1}," if context else ""
    return f"{context} {error.problem or ''}".strip()


def _check_ahead(text: str, file: str) -> None:
    """Refuse tabs, and what would only cost seconds of scanning: words without end, more than `MAX_NODES` elements."""
    tab = text.find("\t")
    if tab >= 0:
        line = text.count("\n", 0, tab) + 1
        column = tab - text.rfind("\n", 0, tab)
        fail_text(Place(file, line, column), "a tab", "spaces (in a quoted text, \\t)")
    word = _ENDLESS.search(text)
    if word is not None:
        line = text.count("\n", 0, word.start()) + 1
        column = word.start() - text.rfind("\n", 0, word.start())
        fail_text(
            Place(file, line, column),
            f"more than {_LONGEST} characters without a space",
            "text and numbers",
            code="spec.too_large",
        )
    if text.count(",") + text.count("\n") > MAX_NODES:
        fail_text(
            Place(file),
            f"more than {MAX_NODES} lines and elements",
            "fewer; large weights go in a weights file",
            code="spec.too_large",
        )


def _place(file: str, mark: Any) -> Place:
    return Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file)


class _Builder:
    """Builds the tree event by event on a stack of its own, so that no depth of nesting can exhaust Python's."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.nodes = 0
        self.position = (1, 1)
        self.roots: list[Node] = []
        self.open: list[_Collection] = []

    def add(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, ScalarEvent):
            self._count(event)
            if self.open and self.open[-1].wants_key:
                self._add_key(event)
            else:
                self._keep(Node(_read_scalar(event, Place(self.file, *self.position)), *self.position))
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            self._count(event)
            self._open(event)
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            self._keep(self.open.pop().close())
        elif isinstance(event, DocumentStartEvent):
            self._start_document(event)

    def finish(self) -> Node:
        """Return the tree."""
        if not self.roots:
            fail_text(Place(self.file, 1, 1), "an empty file", "a spec")
        return self.roots[0]

    def _start_document(self, event: Any) -> None:
        self.position = (event.start_mark.line + 1, event.start_mark.column + 1)
        place = Place(self.file, *self.position)
        if self.roots:
            fail_text(place, "a second document", "one spec a file")
        if event.version is not None and tuple(event.version) != (1, 2):
            fail_text(place, f"YAML {'.'.join(map(str, event.version))}", "YAML 1.2")
        if event.tags:
            fail_text(place, "a tag directive", "none")

    def _count(self, event: Any) -> None:
        self.position = (event.start_mark.line + 1, event.start_mark.column + 1)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            fail_text(
                Place(self.file, *self.position),
                f"more than {MAX_NODES} values",
                "fewer; large weights go in a weights file",
                code="spec.too_large",
            )

    def _open(self, event: Event) -> None:
        place = Place(self.file, *self.position)
        if self.open and self.open[-1].wants_key:
            fail_text(place, "a list or mapping as a key", "text")
        if len(self.open) == MAX_DEPTH:
            fail_text(place, f"values nested deeper than {MAX_DEPTH}", "fewer levels", code="spec.too_large")
        self.open.append(_Collection(isinstance(event, MappingStartEvent), self.position))

    def _add_key(self, event: Any) -> None:
        place, key = Place(self.file, *self.position), event.value
        if key == "<<" and event.style is None:
            fail_text(place, "a merge key (<<)", "the entries written out")
        _check_text(key, place)
        self.open[-1].begin(key, self.position, place)

    def _keep(self, node: Node) -> None:
        if self.open:
            self.open[-1].add(node)
        else:
            self.roots.append(node)


class _Collection:
    """A list or mapping whose end has not been read yet."""

    def __init__(self, is_mapping: bool, position: tuple[int, int]) -> None:
        self.position = position
        self.elements: list[Node] = []
        self.entries: dict[str, Node] | None = {} if is_mapping else None
        self.key: str | None = None
        self.key_position = position

    @property
    def wants_key(self) -> bool:
        return self.entries is not None and self.key is None

    def begin(self, key: str, position: tuple[int, int], place: Place) -> None:
        """Take the key of the next entry."""
        if self.entries is not None and key in self.entries:
            fail_text(
                place, f"the key {describe(key)} a second time", f"it once (first in line {self.entries[key].line})"
            )
        self.key, self.key_position = key, position

    def add(self, node: Node) -> None:
        """Take the next element, or the value of the entry begun."""
        if self.entries is None:
            self.elements.append(node)
        elif self.key is not None:
            self.entries[self.key] = Node(node.value, *self.key_position)
            self.key = None

    def close(self) -> Node:
        """Return the whole collection."""
        return Node(tuple(self.elements) if self.entries is None else self.entries, *self.position)


def _read_scalar(event: Any, place: Place) -> Any:
    text: str = event.value
    if event.style is not None:  # quoted or block text is text
        return _check_text(text, place)
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _NOT_FINITE.match(text):
        fail_text(place, text, "a finite number")
    if _DECIMAL.match(text) or _OTHER_BASE.match(text):
        number = read_number(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if isinstance(number, str):
            fail_text(place, number, "a number in range")
        return number
    return _check_text(text, place)


def _check_text(text: str, place: Place) -> str:
    if has_surrogates(text):
        fail_text(place, "half of a surrogate pair", "whole characters")
    return text

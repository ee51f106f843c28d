"""JSON text into a tree of placed values: RFC 8259 to the letter, with limits, lines and columns."""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from ..values import Place, describe
from .tree import MAX_DEPTH, MAX_NODES, Node, fail_text, has_surrogates, read_number

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![0-9A-Za-z_.+-])")
# Possessive (++, *+): without them an unfinished text takes exponential time.
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_WORD = re.compile(r"[-+.\w]+|/[/*]|\S", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None}


def read_json(text: str, file: str) -> Node:
    """Return the tree of `text`.

    Raises
    ------
    SpecError
        With line and column: not JSON (comments, trailing commas, NaN), duplicate keys, numbers out of range, more
        than `MAX_NODES` values, deeper than `MAX_DEPTH`.
    """
    if text.count(",") > MAX_NODES:
        fail_text(
            Place(file),
            f"more than {MAX_NODES} values",
            "fewer; large weights go in a weights file",
            code="spec.too_large",
        )
    return _Reader(text, file).read()


class _Reader:
    """A recursive descent over the text; `MAX_DEPTH` bounds the recursion."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.at = 0
        self.nodes = 0
        self.line_starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def read(self) -> Node:
        node = self._value(0)
        if self._peek():
            self._fail(self._word(), "the end of the file")
        return node

    def _position(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.line_starts, at)
        return line, at - self.line_starts[line - 1] + 1

    def _fail(self, found: str, expected: str, at: int | None = None, *, code: str = "spec.text") -> None:
        fail_text(Place(self.file, *self._position(self.at if at is None else at)), found, expected, code=code)

    def _peek(self) -> str:
        """Skip white space and return the next character, empty at the end."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def _word(self) -> str:
        match = _WORD.match(self.text, self.at)
        return "the end of the file" if match is None else describe(match[0])

    def _value(self, depth: int) -> Node:
        first = self._peek()
        position = self._position(self.at)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._fail(
                f"more than {MAX_NODES} values", "fewer; large weights go in a weights file", code="spec.too_large"
            )
        if first in ("{", "["):
            if depth == MAX_DEPTH:
                self._fail(f"values nested deeper than {MAX_DEPTH}", "fewer levels", code="spec.too_large")
            self.at += 1
            return Node(self._entries(depth + 1) if first == "{" else self._elements(depth + 1), *position)
        return Node(self._string() if first == '"' else self._scalar(), *position)

    def _elements(self, depth: int) -> tuple[Node, ...]:
        out: list[Node] = []
        while self._peek() != "]":
            if out:
                self._comma("]")
            out.append(self._value(depth))
        self.at += 1
        return tuple(out)

    def _entries(self, depth: int) -> dict[str, Node]:
        out: dict[str, Node] = {}
        while self._peek() != "}":
            if out:
                self._comma("}")
            if self._peek() != '"':
                self._fail(self._word(), "a key in double quotes")
            start = self.at
            key = self._string()
            if key in out:
                self._fail(f"the key {describe(key)} a second time", f"it once (first in line {out[key].line})", start)
            self.nodes += 1
            if self._peek() != ":":
                self._fail(self._word(), f"a colon after the key {describe(key)}")
            self.at += 1
            out[key] = Node(self._value(depth).value, *self._position(start))
        self.at += 1
        return out

    def _comma(self, end: str) -> None:
        if self._peek() != ",":
            self._fail(self._word(), f"a comma or {end}")
        comma = self.at
        self.at += 1
        if self._peek() == end:
            self._fail(f"a comma before {end}", "none after the last value", comma)

    def _string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            expected = "text that ends on its line, with \\n for line breaks and escapes of JSON"
            self._fail("text that does not end, or a wrong escape or control character in it", expected)
            return ""
        text: str = json.loads(match[0])
        if has_surrogates(text):
            self._fail("half of a surrogate pair", "whole characters")
        self.at = match.end()
        return text

    def _scalar(self) -> bool | int | float | None:
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            value = read_number(number[0])
            if isinstance(value, str):
                self._fail(value, "a number in range")
            else:
                self.at = number.end()
                return value
        word = _WORD.match(self.text, self.at)
        if word is None or word[0] not in _WORDS:
            expected = "a value (JSON has no comments)" if word and word[0].startswith(("/", "#")) else "a JSON value"
            self._fail(self._word(), expected)
            return None
        self.at = word.end()
        return _WORDS[word[0]]

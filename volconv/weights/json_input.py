"""JSON of which a few members are wanted and the rest is passed over, under a meter.

Python's own parser makes objects of everything: a list that is empty takes 30 times its three bytes.
Grammar: RFC 8259.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn

from ..errors import WeightsError, show
from .meter import Meter
from .weight_file import WeightFile

MAX_JSON = 1 << 24
MAX_DEPTH = 16
MAX_TEXT = 1 << 16
"""Bytes of a string that is wanted."""

# Possessive, for the saved states of what could be tried again would take many times the text.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+'
_TOKEN = re.compile(
    rb"[ \t\r\n]*+(?:(?P<string>" + _STRING + rb'")|(?P<mark>[\[\]{}:,])'
    rb"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?![0-9A-Za-z.])"
    rb"|(?P<word>true|false|null)\b|(?P<end>\Z))",
    re.DOTALL,
)
_STRUCTURE = re.compile(_STRING + rb'(?P<close>"|\\?\Z)|[\[\]{}]', re.DOTALL)
_WORDS = {b"true": True, b"false": False, b"null": None}


def read_members(file: WeightFile, wanted: Collection[str]) -> dict[str, Any]:
    """Return those members of the object in a JSON file whose names are `wanted`; of a list, all of it as ``""``.

    Raises
    ------
    WeightsError
        If what is wanted is damaged, occurs twice, or unfolds to many times the file's size.
    """
    if file.size > MAX_JSON:
        raise WeightsError(
            f"JSON: found {file.size} bytes, expected at most {MAX_JSON}", code="weights.limit", file=file.name
        )
    return _Json(file).members(wanted)


class _Json:
    def __init__(self, file: WeightFile) -> None:
        self.file = file
        self.meter = Meter(file, "JSON")
        self.meter.spend(file.size)
        self.text = file.read_at(0, file.size)
        self.at = 0

    def fail(self, found: str, expected: str) -> NoReturn:
        raise WeightsError(f"JSON: found {found}, expected {expected}", code="weights.json", file=self.file.name)

    def members(self, wanted: Collection[str]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        raw = self.token()[1]
        if raw == b"[":
            out[""] = self.values()
        elif raw != b"{":
            self.fail("neither an object nor a list", "one")
        else:
            self.object(out, wanted)
        if self.token()[0] != "end":
            self.fail(f"more behind the end at byte {self.at}", "none")
        return out

    def object(self, out: dict[str, Any], wanted: Collection[str] | None, depth: int = 1) -> None:
        """Put the members of an object, whose brace has been taken, into `out`: all, or those `wanted`."""
        kind, raw = self.token()
        while raw != b"}":
            key = self.string(kind, raw)
            if self.token()[1] != b":":
                self.broken()
            if wanted is not None and key not in wanted:
                self.skip()
            else:
                if key in out:
                    self.fail(f"two values for {show(repr(key[:80]))}", "one")
                self.meter.spend(30)
                out[key] = self.value(depth)
            kind, raw = self.token()
            if raw == b",":
                kind, raw = self.token()
                if raw == b"}":
                    self.broken()
            elif raw != b"}":
                self.broken()

    def values(self, depth: int = 1) -> list[Any]:
        """Return the rest of a list whose bracket has been taken."""
        out: list[Any] = []
        before = self.at
        if self.token()[1] == b"]":
            return out
        self.at = before
        while True:
            self.meter.spend(9)
            out.append(self.value(depth))
            raw = self.token()[1]
            if raw == b"]":
                return out
            if raw != b",":
                self.broken()

    def value(self, depth: int) -> Any:
        kind, raw = self.token()
        if kind == "string":
            return self.string(kind, raw)
        if kind == "word":
            return _WORDS[raw]
        if kind == "number":
            return self.number(raw)
        if depth > MAX_DEPTH:
            self.fail("things inside each other without end", f"at most {MAX_DEPTH} levels")
        if raw == b"[":
            self.meter.spend(72)
            return self.values(depth + 1)
        if raw != b"{":
            self.broken()
        self.meter.spend(170)
        out: dict[str, Any] = {}
        self.object(out, None, depth + 1)
        return out

    def string(self, kind: str, raw: bytes) -> str:
        if kind != "string":
            self.broken()
        if len(raw) > MAX_TEXT:
            self.fail(f"text of {len(raw)} bytes", f"at most {MAX_TEXT}")
        try:
            out = json.loads(raw.decode("utf-8"))
        except ValueError:
            self.broken()
        assert isinstance(out, str)
        self.meter.spend(56 + len(out) * (1 if out.isascii() else 4))
        return out

    def number(self, raw: bytes) -> int | float:
        if len(raw) > 40:
            self.fail(f"a number of {len(raw)} digits", "at most 40")
        self.meter.spend(32)
        return float(raw) if any(c in raw for c in b".eE") else int(raw)

    def token(self) -> tuple[str, bytes]:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.broken()
        self.at = match.end()
        kind = match.lastgroup or ""
        return kind, match[kind]

    def skip(self) -> None:
        """Pass over a value; of what is in it only strings and brackets are looked at."""
        raw = self.token()[1]
        if raw in (b"]", b"}", b":", b",", b""):
            self.broken()
        if raw not in (b"[", b"{"):
            return
        depth = 1
        for match in _STRUCTURE.finditer(self.text, self.at):
            if match["close"] is not None:
                if match["close"] != b'"':
                    break
            else:
                depth += 1 if match[0] in (b"[", b"{") else -1
                if depth == 0:
                    self.at = match.end()
                    return
        self.broken()

    def broken(self) -> NoReturn:
        self.fail(f"no JSON at byte {self.at}", "a complete document in UTF-8")

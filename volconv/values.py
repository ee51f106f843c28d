"""Values as a user wrote them: where they stand, lengths with units, and typed reading with errors that say all.

The spec reader makes `Values`; operators and filter generators read from them. Knows nothing of YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from .errors import SpecError, show

_LENGTH = re.compile(r"\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*(mm|voxels?)\s*\Z")
MISSING: Any = object()


@dataclass(frozen=True)
class Place:
    """Where a value stands: file name, 1-based line and column, and the dotted key."""

    file: str = ""
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        position = f"line {self.line}, column {self.column}" if self.line else ""
        return ": ".join(part for part in (position, self.key) if part)


@dataclass(frozen=True)
class Length:
    """A length as written: a number and its unit, `mm` or `voxel`."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value!r}".removesuffix(".0") + self.unit


def parse_length(text: str) -> Length | None:
    """Return the length that `text` spells (``2mm``, ``1.5 voxel``), or None if it spells none."""
    match = _LENGTH.match(text)
    if match is None:
        return None
    return Length(float(match[1]), "mm" if match[2] == "mm" else "voxel")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name nearest to `name`, else an empty string."""
    names = list(known)
    lower = {n.lower(): n for n in names}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return f"; did you mean {lower[close[0]]!r}?" if close else ""


def describe(value: Any) -> str:
    """Return `value` as an error message shows it: short, on one line."""
    text = "nothing" if value is None else str(value) if isinstance(value, Length) else repr(value)
    text = {"True": "true", "False": "false"}.get(text, text)
    return show(text if len(text) <= 60 else text[:57] + "...")


class Values:
    """A mapping the user wrote, read key by key.

    Parameters
    ----------
    items : mapping
        Key to value, parameters already put in.
    places : mapping, optional
        Key to `Place`; a key without one is reported at `place`.
    place : Place, optional
        Of the mapping itself.
    subject : str, optional
        What the mapping describes, for messages: ``stage 'smooth' (Conv3d)``.
    """

    def __init__(
        self,
        items: Mapping[str, Any],
        places: Mapping[str, Place] | None = None,
        place: Place | None = None,
        subject: str = "",
    ) -> None:
        self.items = dict(items)
        self.places = dict(places or {})
        self.place = place or Place()
        self.subject = subject

    def __contains__(self, key: str) -> bool:
        return key in self.items

    def without(self, *keys: str) -> Values:
        """Return the same values less `keys`."""
        left = {k: v for k, v in self.items.items() if k not in keys}
        return Values(left, self.places, self.place, self.subject)

    def fail(self, key: str | None, found: str, expected: str, *, code: str = "spec.value") -> NoReturn:
        """Raise the `SpecError` for `key` (None: the mapping itself)."""
        place = self.places.get(key or "", self.place)
        named = f"{place}" if place.key or key is None else f"{place}: {key}" if str(place) else key
        subject = f"{self.subject}: " if self.subject else ""
        message = f"{subject}found {found}, expected {expected}"
        raise SpecError(message, code=code, file=place.file or None, where=named or None)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Raise for the first key that is not in `known`, naming the nearest known one."""
        names = list(known)
        for key in self.items:
            if key not in names:
                expected = f"one of {', '.join(names)}{nearest(key, names)}" if names else "none"
                self.fail(key, f"unknown key {show(repr(key))}", expected, code="spec.unknown")

    def refuse_keys(self, reasons: Mapping[str, str]) -> None:
        """Raise for the first key in `reasons`: one that other dialects know, and why this one has it not."""
        for key, value in self.items.items():
            if key in reasons:
                expected = f"no such key here: {reasons[key]}"
                self.fail(key, f"{key} {describe(value)}", expected, code="spec.unknown")

    def get(self, key: str, default: Any = MISSING) -> Any:
        """Return the raw value of `key`."""
        if key in self.items:
            return self.items[key]
        if default is MISSING:
            self.fail(None, f"no {key}", f"the key {key}")
        return default

    def integer(self, key: str, default: Any = MISSING, minimum: int | None = None) -> int:
        """Return an int of at least `minimum`; true, false and 1.0 are not ints."""
        value = self.get(key, default)
        if key not in self.items:
            return value  # type: ignore[no-any-return]
        return self._integer(key, value, minimum)

    def _integer(self, key: str, value: Any, minimum: int | None) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(key, describe(value), "a whole number")
        if minimum is not None and value < minimum:
            self.fail(key, describe(value), f"a whole number of at least {minimum}")
        if value > 2**40:
            self.fail(key, describe(value), "a whole number that fits a volume")
        return value

    def integers(
        self, key: str, n: int, default: Any = MISSING, minimum: int | None = None, broadcast_one: bool = False
    ) -> tuple[int, ...]:
        """Return `n` ints from one int or a list of exactly `n` (or, with `broadcast_one`, of one)."""
        value = self.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return (self._integer(key, value, minimum),) * n
        if not _is_list(value):
            self.fail(key, describe(value), f"a whole number or a list of {n}")
        if broadcast_one and len(value) == 1:
            value = list(value) * n
        if len(value) != n:
            self.fail(key, f"a list of {len(value)}", f"a whole number or a list of {n}")
        return tuple(self._integer(key, v, minimum) for v in value)

    def number(
        self, key: str, default: Any = MISSING, minimum: float | None = None, above: float | None = None
    ) -> float:
        """Return a finite float, at least `minimum`, greater than `above`."""
        value = self.get(key, default)
        if key not in self.items:
            return value  # type: ignore[no-any-return]
        return self._number(key, value, minimum, above)

    def _number(self, key: str, value: Any, minimum: float | None = None, above: float | None = None) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, describe(value), "a number")
        try:
            out = float(value)
        except OverflowError:
            self.fail(key, describe(value), "a number in range")
        if out != out or out in (float("inf"), float("-inf")):
            self.fail(key, describe(value), "a finite number")
        if minimum is not None and out < minimum:
            self.fail(key, describe(value), f"a number of at least {minimum:g}")
        if above is not None and not out > above:
            self.fail(key, describe(value), f"a number greater than {above:g}")
        return out

    def numbers(self, key: str, default: Any = MISSING) -> float | tuple[float, ...]:
        """Return one finite float, or a tuple of them if the value is a list."""
        value = self.get(key, default)
        if _is_list(value):
            return tuple(self._number(key, v) for v in value)
        return self._number(key, value)

    def boolean(self, key: str, default: Any = MISSING) -> bool:
        """Return true or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            self.fail(key, describe(value), "true or false")
        return value

    def choice(self, key: str, options: Iterable[str], default: Any = MISSING) -> str:
        """Return one of the strings `options`."""
        names = list(options)
        value = self.get(key, default)
        if key in self.items and (not isinstance(value, str) or value not in names):
            close = nearest(value, names) if isinstance(value, str) else ""
            self.fail(key, describe(value), f"one of {', '.join(names)}{close}")
        return value  # type: ignore[no-any-return]

    def lengths_voxel(
        self,
        key: str,
        n: int,
        spacing_mm: Sequence[float] | None,
        default: Any = MISSING,
        above: float | None = None,
    ) -> tuple[float, ...]:
        """Return `n` lengths in voxels from one length or a list of `n`.

        A bare number is in voxels; millimetres are divided by `spacing_mm` axis by axis and are an error where
        it is None.
        """
        value = self.get(key, default)
        parts = list(value) if _is_list(value) else [value] * n
        if len(parts) != n:
            self.fail(key, f"a list of {len(parts)}", f"one length or a list of {n}")
        return tuple(
            self._length_voxel(key, part, None if spacing_mm is None else spacing_mm[i], spacing_mm is None, above)
            for i, part in enumerate(parts)
        )

    def _length_voxel(self, key: str, part: Any, step_mm: float | None, unknown: bool, above: float | None) -> float:
        length = parse_length(part) if isinstance(part, str) else part
        if isinstance(part, str) and length is None:
            self.fail(key, describe(part), "a length such as 2, 2mm or 1.5voxel")
        if not isinstance(length, Length):
            return self._number(key, length, above=above)
        self._number(key, length.value, above=above)
        if length.unit == "voxel":
            return length.value
        if unknown or step_mm is None:
            self.fail(key, str(length), "a length in voxels, for the volume does not say its spacing (--spacing D,H,W)")
        return length.value / step_mm


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)

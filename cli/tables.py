"""Plain text for people: aligned columns, sizes, and any report as indented lines.

Knows nothing of terminals: what it returns looks the same in a log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from volconv.errors import show

_SHAPES = ("shape", "chunks", "size", "tensors")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(count: float) -> str:
    """Return a number of bytes as people read it: ``1.5 GB``."""
    unit = 0
    while abs(count) >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 or count >= 99.5 else f"{count:.3g} {_UNITS[unit]}"


def value_text(value: Any, key: str = "") -> str:
    """Return a value on one line: a list with commas, a shape (by its `key`) with ``×``, nothing as ``-``."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        joint = "×" if key == "dim" or any(word in key for word in _SHAPES) else ", "
        return joint.join(value_text(item, key) for item in value) or "-"
    if isinstance(value, Mapping):
        parts = [f"{show(str(name))}={_inner_text(item, f'{key} {name}')}" for name, item in value.items()]
        return " ".join(parts) or "-"
    return show(str(value))


def _inner_text(value: Any, key: str) -> str:
    """Return a value within a mapping: a mapping itself in braces."""
    if not isinstance(value, Mapping):
        return value_text(value, key)
    parts = [f"{show(str(name))}: {_inner_text(item, key)}" for name, item in value.items()]
    return "{" + ", ".join(parts) + "}"


def columns(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Return `rows` below `header`, two spaces between columns; columns of numbers stand to the right."""
    cells = [[value_text(cell, name) for cell, name in zip(row, header, strict=True)] for row in rows]
    lines = [list(header), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in rows)
        for i in range(len(header))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def report(document: Mapping[str, Any], indent: int = 0) -> str:
    """Return a report as lines of ``key: value``; lists of records become tables, records are indented."""
    return "\n".join(_report_lines(document, " " * indent))


def _report_lines(document: Mapping[str, Any], margin: str) -> list[str]:
    lines: list[str] = []
    for key, value in document.items():
        label = show(str(key)).replace("_", " ")
        if isinstance(value, Mapping):
            lines.append(f"{margin}{label}:" if value else f"{margin}{label}: -")
            lines += _report_lines(value, margin + "  ")
        elif _is_table(value):
            lines.append(f"{margin}{label}:")
            lines += [f"{margin}  {line}" for line in _record_table(value).splitlines()]
        elif _is_matrix(value):
            lines.append(f"{margin}{label}:")
            lines += [f"{margin}  " + "  ".join(f"{number:>10.6g}" for number in row) for row in value]
        elif key.endswith("_bytes") and isinstance(value, int):
            lines.append(f"{margin}{label.removesuffix(' bytes')}: {size_text(value)}")
        else:
            lines.append(f"{margin}{label}: {value_text(value, key)}")
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _is_matrix(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(row, list | tuple) and all(isinstance(x, int | float) for x in row) for row in value)
        and len({len(row) for row in value}) == 1
    )


def _record_table(records: Sequence[Mapping[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for record in records for key in record))
    rows = [[record.get(key) for key in keys] for record in records]
    return columns(rows, [key.replace("_", " ") for key in keys])

"""The ``parameters:`` section, the values put in for ``$name``, and whether a setting fits its parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import SpecError, UsageError, show
from ..values import Length, describe, nearest, parse_length
from .model import Parameter
from .tree import Item, Node, build_node, list_names

UNITS = ("mm", "voxel")
PARAMETER_KEYS = ("default", "unit", "min", "max", "help")
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


class _MisfitError(Exception):
    """A value does not fit a parameter; `args` are what was found and what was expected."""


def read_parameters(section: Item, *, required: bool = True) -> dict[str, Parameter]:
    """Return the declared parameters by name, defaults checked; None for one without, unless it is `required`."""
    entries = section.entries("a mapping of parameters")
    return {name: _read_parameter(name, entry, required) for name, entry in entries.items()}


def _read_parameter(name: str, entry: Item, required: bool) -> Parameter:
    if not PARAMETER_NAME.match(name):
        entry.fail("a name of letters, digits and _", f"the parameter name {show(repr(name[:60]))}")
    keys = entry.entries("a mapping such as {default: 1.5, unit: mm}")
    entry.refuse_unknown(PARAMETER_KEYS)
    if "default" not in keys and required:
        entry.fail("the key default", "no default")
    out = Parameter(
        name=name,
        default=keys["default"].plain() if "default" in keys else None,
        unit=keys["unit"].choice(UNITS) if "unit" in keys else None,
        minimum=_read_bound(keys.get("min")),
        maximum=_read_bound(keys.get("max")),
        help=keys["help"].text() if "help" in keys else "",
        place=entry.place,
    )
    if out.minimum is not None and out.maximum is not None and out.minimum > out.maximum:
        keys["min"].fail(f"at most max = {out.maximum:g}")
    default = _check_default(out, keys["default"]) if "default" in keys else None
    return Parameter(out.name, default, out.unit, out.minimum, out.maximum, out.help, out.place)


def _read_bound(item: Item | None) -> float | None:
    if item is None:
        return None
    if isinstance(item.value, bool) or not isinstance(item.value, int | float):
        item.fail("a number (in the parameter's unit)")
    return float(item.value)


def _check_default(parameter: Parameter, item: Item) -> Any:
    numeric = parameter.unit is not None or _is_numeric(parameter.default)
    if not numeric and not isinstance(parameter.default, bool | str):
        item.fail("a number, text, true, false or a list of numbers")
    if not numeric and (parameter.minimum is not None or parameter.maximum is not None):
        item.fail("a number, for the parameter has min or max")
    return fit_value(parameter, item)


def fit_value(parameter: Parameter, item: Item) -> Any:
    """Return the value of `item` as the parameter's kind holds it, lengths as `Length`; fails where it does not fit."""
    try:
        return _fit(parameter, item.plain())
    except _MisfitError as misfit:
        found, expected = misfit.args
        item.fail(expected, found)


def put_settings(
    parameters: Mapping[str, Parameter], settings: Mapping[str, object] | None, source: str = ""
) -> dict[str, Any]:
    """Return the effective value of every parameter: the setting where there is one, else the default.

    Raises
    ------
    UsageError
        A setting names no parameter, or is no value of its kind or range.
    """
    out = {name: parameter.default for name, parameter in parameters.items()}
    for name, value in (settings or {}).items():
        if name not in parameters:
            known = f"one of {list_names(parameters)}" if parameters else "none, for this spec has no parameters"
            close = nearest(str(name), parameters)
            raise UsageError(
                f"found no parameter {show(repr(name))[:80]}, expected {known}{close}",
                code="usage.parameter",
                file=source or None,
            )
        out[name] = _put(parameters[name], value, source)
    return out


def _put(parameter: Parameter, value: object, source: str) -> Any:
    where = f"parameter {parameter.name}"
    try:
        return _fit(parameter, Item(build_node(value), source).plain())
    except SpecError as error:
        raise UsageError(error.message, code="usage.parameter", file=source or None, where=where) from error
    except _MisfitError as misfit:
        found, expected = misfit.args
        message = f"found {found}, expected {expected}"
        raise UsageError(message, code="usage.parameter", file=source or None, where=where) from misfit


def _fit(parameter: Parameter, value: Any) -> Any:
    """Return `value` as the parameter's kind holds it, lengths as `Length`."""
    if isinstance(value, list) and (parameter.unit is not None or _is_numeric(parameter.default)):
        if not value:
            raise _MisfitError("an empty list", "numbers in it")
        return [_fit_one(parameter, v) for v in value]
    return _fit_one(parameter, value)


def _fit_one(parameter: Parameter, value: Any) -> Any:
    if parameter.unit is not None:
        return _fit_length(parameter, value)
    if isinstance(parameter.default, bool):
        return _require(isinstance(value, bool), value, "true or false")
    if isinstance(parameter.default, str):
        return _require(isinstance(value, str), value, "text")
    if isinstance(value, Length) or (isinstance(value, str) and parse_length(value) is not None):
        raise _MisfitError(describe(value), "a number without a unit")
    _check_range(parameter, _require(_is_number(value), value, "a number"), value)
    return value


def _fit_length(parameter: Parameter, value: Any) -> Length:
    length: Any = parse_length(value) if isinstance(value, str) else value
    if _is_number(length):
        length = Length(float(length), parameter.unit or "voxel")
    if not isinstance(length, Length) or length.unit not in UNITS or not math.isfinite(length.value):
        raise _MisfitError(describe(value), f"a length such as 2{parameter.unit} or a number of {parameter.unit}")
    if length.unit == parameter.unit:
        _check_range(parameter, length.value, value)
    elif parameter.minimum is not None and parameter.minimum >= 0 and length.value < 0:
        raise _MisfitError(describe(value), "a length that is not negative")
    return length


def _check_range(parameter: Parameter, number: float, value: Any) -> None:
    unit = parameter.unit or ""
    if parameter.minimum is not None and number < parameter.minimum:
        raise _MisfitError(describe(value), f"at least {parameter.minimum:g}{unit}")
    if parameter.maximum is not None and number > parameter.maximum:
        raise _MisfitError(describe(value), f"at most {parameter.maximum:g}{unit}")


def _require(fits: bool, value: Any, expected: str) -> Any:
    if not fits:
        found = f"a list of {len(value)}" if isinstance(value, list) else describe(value)
        raise _MisfitError("a mapping" if isinstance(value, dict) else found, expected)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numeric(value: Any) -> bool:
    return all(_is_number(v) for v in value) if isinstance(value, list) and value else _is_number(value)


def replace_references(item: Item, values: Mapping[str, Any]) -> Item:
    """Return `item` with every ``$name`` replaced by that parameter's value; places stay those of the reference."""
    return Item(_replace(item, values), item.file, item.key)


def _replace(item: Item, values: Mapping[str, Any]) -> Node:
    node = item.node
    if isinstance(node.value, dict):
        return Node({key: _replace(entry, values) for key, entry in item.entries().items()}, node.line, node.column)
    if isinstance(node.value, tuple):
        return Node(tuple(_replace(element, values) for element in item.elements()), node.line, node.column)
    if not isinstance(node.value, str) or not node.value.startswith("$"):
        return node
    name = node.value[1:]
    if name not in values:
        references = [f"${declared}" for declared in values]
        known = f"one of {list_names(references)}" if references else "none, for the spec has no parameters"
        close = nearest(node.value, references)
        item.fail(f"{known}{close}", f"no parameter {show(repr(node.value[:60]))}")
    return build_node(values[name], node.line, node.column)

"""The ``stages:`` section: names, wiring by name, operator parameters as written, tensor sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..values import describe, nearest
from .model import Stage
from .parameters import replace_references
from .tensors import read_tensors
from .tree import Item, list_names

VOLUME = "input"
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
OP_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
FIXED_KEYS = ("op", "name", "input", "inputs")
TENSOR_KEYS = ("weight", "bias", "tensors")
_NAME_RULE = "a name of at most 100 letters, digits, _ . and -, with no . or - first"


def read_stages(section: Item, values: Mapping[str, Any]) -> tuple[Stage, ...]:
    """Return the stages of `section` with parameter `values` put in for ``$name``."""
    items = section.elements("a list of stages")
    if not items:
        section.fail("at least one stage", "no stages")
    names = [VOLUME, *_name_stages(items)]
    order = {name: i for i, name in enumerate(names)}
    return tuple(
        _read_stage(item, names[i], _read_inputs(item, order, i, names[i - 1]), values)
        for i, item in enumerate(items, 1)
    )


def read_name(item: Item) -> str:
    """Return a name that can be part of a file name and of a tensor's key."""
    name = item.text(_NAME_RULE)
    if not re.fullmatch(NAME_PATTERN, name) or name.endswith("\n"):
        item.fail(_NAME_RULE)
    return name


def _name_stages(items: list[Item]) -> list[str]:
    """Return every stage's name; the n-th without one is called by its operator, ``OP_n`` from the second on."""
    taken: dict[str, Item] = {}
    for item in items:
        entry = item.entries("a stage: a mapping with the key op").get("name")
        if entry is None:
            continue
        name = read_name(entry)
        if name == VOLUME:
            entry.fail(f"another name: {VOLUME} is the volume")
        if name in taken:
            entry.fail("a name of its own", f"the name {name!r}, which {taken[name].key} has")
        taken[name] = item
    out: list[str] = []
    counts: dict[str, int] = {}
    for item in items:
        op = _read_op(item)
        name = item.entries()["name"].text() if "name" in item.value else ""
        while not name or taken.get(name, item) is not item:
            counts[op] = counts.get(op, 0) + 1
            name = op if counts[op] == 1 else f"{op}_{counts[op]}"
        taken[name] = item
        out.append(name)
    return out


def _read_op(item: Item) -> str:
    entry = item.entries().get("op")
    if entry is None:
        close = nearest("op", item.value)
        item.fail(f"the key op, such as op: Conv3d{close}", "a stage without op")
    op = entry.text("an operator's name such as Conv3d")
    if not re.fullmatch(OP_PATTERN, op) or op.endswith("\n"):
        entry.fail("an operator's name such as Conv3d")
    return op


def _read_inputs(item: Item, order: Mapping[str, int], index: int, before: str) -> tuple[str, ...]:
    """Return the stages that the stage at `index` reads; by default the one `before` it."""
    keys = item.entries()
    if "input" in keys and "inputs" in keys:
        keys["inputs"].fail("one of the two", "input and inputs together")
    if "inputs" in keys:
        entries = keys["inputs"].elements("a list of stage names")
        if not entries:
            keys["inputs"].fail("at least one stage name")
        return tuple(_read_input(entry, order, index) for entry in entries)
    return (_read_input(keys["input"], order, index) if "input" in keys else before,)


def _read_input(entry: Item, order: Mapping[str, int], index: int) -> str:
    name = entry.text("the name of an earlier stage, or input")
    found = order.get(name)
    if found is None:
        earlier = [known for known, i in order.items() if i < index]
        entry.fail(f"one of {list_names(earlier)}{nearest(name, earlier)}", f"no stage {describe(name)}")
    if found == index:
        entry.fail("an earlier stage", f"{name!r}, the stage itself")
    if found > index:
        entry.fail("an earlier stage; stages are carried out in order", f"{name!r}, a later stage")
    return name


def _read_stage(item: Item, name: str, inputs: tuple[str, ...], values: Mapping[str, Any]) -> Stage:
    keys = {k: v if k in FIXED_KEYS else replace_references(v, values) for k, v in item.entries().items()}
    tensors, flags = read_tensors(keys)
    raw = {k: v.plain() for k, v in keys.items() if k not in (*FIXED_KEYS, *TENSOR_KEYS)}
    places = {k: v.place for k, v in keys.items()}
    return Stage(name, keys["op"].value, inputs, {**raw, **flags}, tensors, item.place, places)

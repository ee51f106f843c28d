"""Names of stages and who reads whom, in a scope: the spec's own stages, or those of a block."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..values import describe, nearest
from .tree import Item, list_names

VOLUME = "input"
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
_NAME_RULE = "a name of at most 100 letters, digits, _ . and -, with no . or - first"


@dataclass
class Scope:
    """Stages that know each other by name.

    Attributes
    ----------
    given : mapping
        What may be read beside the stages: a name to the full name of the stage (or the volume) it stands for. The
        first is what the first stage reads where it says nothing.
    values : mapping
        Values of the parameters that ``$name`` may stand for.
    prefix : str
        Put before the name of each stage.
    outer : Scope or None
        Where a name is looked up that stands neither here nor in `given`.
    places : mapping
        Each stage's name here to its place in the list.
    made : mapping
        Full name of each stage and each block so far, of all scopes, to that of the stage whose result it stands for.
    """

    given: Mapping[str, str]
    values: Mapping[str, Any]
    prefix: str = ""
    outer: Scope | None = None
    places: dict[str, int] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """Return the full name of the stage that `name` stands for; None if none made so far is called so."""
        if name in self.given:
            return self.given[name]
        found = self.made.get(self.prefix + name)
        return self.outer.find(name) if found is None and self.outer is not None else found

    def known(self) -> list[str]:
        """Return every name that may be read now."""
        own = [name.removeprefix(self.prefix) for name in self.made if name.startswith(self.prefix)]
        return list(dict.fromkeys([*self.given, *own, *(self.outer.known() if self.outer else ())]))


def read_name(item: Item) -> str:
    """Return a name that can be part of a file name and of a tensor's key."""
    name = item.text(_NAME_RULE)
    if not re.fullmatch(NAME_PATTERN, name) or name.endswith("\n"):
        item.fail(_NAME_RULE)
    return name


def name_stages(items: Sequence[Item], kinds: Sequence[str], given: Mapping[str, str]) -> list[str]:
    """Return every stage's name; the n-th without one is called by its kind, ``KIND_n`` from the second on.

    Parameters
    ----------
    items : sequence of Item
        The stages.
    kinds : sequence of str
        The operator or block of each.
    given : mapping
        Names that are taken.
    """
    taken: dict[str, Item] = {}
    for item in items:
        entry = item.entries().get("name")
        if entry is None:
            continue
        name = read_name(entry)
        if name in given:
            whose = "the volume" if name == given[name] == VOLUME else "what the block reads"
            entry.fail(f"another name: {name} is {whose}", code="spec.wiring")
        if name in taken:
            entry.fail("a name of its own", f"the name {name!r}, which {taken[name].key} has", code="spec.wiring")
        taken[name] = item
    out: list[str] = []
    counts: dict[str, int] = {}
    for item, kind in zip(items, kinds, strict=True):
        name = item.entries()["name"].text() if "name" in item.value else ""
        while not name or name in given or taken.get(name, item) is not item:
            counts[kind] = counts.get(kind, 0) + 1
            name = kind if counts[kind] == 1 else f"{kind}_{counts[kind]}"
        taken[name] = item
        out.append(name)
    return out


def read_inputs(item: Item, scope: Scope, index: int, before: str) -> tuple[str, ...]:
    """Return the full names of what the stage at `index` of `scope` reads; by default the stage `before` it."""
    keys = item.entries()
    if "input" in keys and "inputs" in keys:
        keys["inputs"].fail("one of the two", "input and inputs together")
    if "inputs" in keys:
        entries = keys["inputs"].elements("a list of stage names")
        if not entries:
            keys["inputs"].fail("at least one stage name")
        return tuple(_read_input(entry, scope, index) for entry in entries)
    return (_read_input(keys["input"], scope, index) if "input" in keys else before,)


def _read_input(entry: Item, scope: Scope, index: int) -> str:
    name = entry.text("the name of an earlier stage, or input")
    place = scope.places.get(name, -1)
    if place == index:
        entry.fail("an earlier stage", f"{name!r}, the stage itself", code="spec.wiring")
    if place > index:
        entry.fail("an earlier stage; stages are carried out in order", f"{name!r}, a later stage", code="spec.wiring")
    found = scope.find(name)
    if found is None:
        known = scope.known()
        entry.fail(
            f"one of {list_names(known)}{nearest(name, known)}", f"no stage {describe(name)}", code="spec.wiring"
        )
    return found

"""Where a stage's tensors come from: ``weight:``, ``bias:`` and ``tensors:`` in all their forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import show
from .model import FileSource, GeneratorSource, InitSource, InlineSource, KeySource, TensorSource
from .paths import check_path
from .tree import Item, Node

INIT_KINDS = ("default",)
_FORMS = "a key, nested numbers, or a mapping with file, generator or init"
_LONGEST_KEY = 1024
_DEEPEST_ARRAY = 8


def read_tensors(stage: dict[str, Item]) -> tuple[dict[str, TensorSource], dict[str, bool]]:
    """Return the sources that a stage's entries name, and its boolean ``bias`` as an operator parameter."""
    sources: dict[str, TensorSource] = {}
    flags: dict[str, bool] = {}
    if "bias" in stage and isinstance(stage["bias"].value, bool):
        flags["bias"] = stage["bias"].value
    for name in ("weight", "bias"):
        if name in stage and name not in flags:
            sources[name] = read_source(stage[name])
    if "tensors" in stage:
        for name, item in stage["tensors"].entries("a mapping of tensors").items():
            if name in stage:
                item.fail(f"{name} either here or in the stage", f"{show(name)} a second time")
            sources[name] = read_source(item)
    return sources, flags


def read_source(item: Item) -> TensorSource:
    """Return the source that `item` names."""
    if isinstance(item.value, str):
        return KeySource(_read_key(item), item.place)
    if isinstance(item.value, tuple) or _is_number(item.value):
        check_array(item)
        return InlineSource(item.plain(), item.place)
    if not isinstance(item.value, dict):
        item.fail(_FORMS)
    forms = [form for form in ("file", "generator", "init") if form in item.value]
    if len(forms) != 1:
        found = f"{' and '.join(forms)} together" if forms else f"a mapping of {_names(item)}"
        item.fail(_FORMS, found)
    return _READERS[forms[0]](item)


def _names(item: Item) -> str:
    return show(", ".join(item.value)[:60]) or "nothing"


def _read_key(item: Item) -> str:
    key = item.text("a tensor's key")
    if not key or len(key) > _LONGEST_KEY:
        item.fail(f"a tensor's key of 1 to {_LONGEST_KEY} characters")
    return key


def _read_file(item: Item) -> FileSource:
    item.refuse_unknown(("file", "key"))
    keys = item.entries()
    path = check_path(keys["file"].text("a path"), keys["file"].place)
    return FileSource(path, _read_key(keys["key"]) if "key" in keys else None, item.place)


def _read_generator(item: Item) -> GeneratorSource:
    keys = item.entries()
    name = keys.pop("generator")
    values = {key: entry.plain() for key, entry in keys.items()}
    places = {key: entry.place for key, entry in keys.items()}
    return GeneratorSource(
        name.text("the name of a generator"), values, {**places, "generator": name.place}, item.place
    )


def _read_init(item: Item) -> InitSource:
    item.refuse_unknown(("init", "seed"))
    keys = item.entries()
    kind = keys["init"].choice(INIT_KINDS)
    if "seed" not in keys:
        item.fail("the key seed, so that every run draws the same numbers", "no seed")
    return InitSource(kind, keys["seed"].integer(0, 2**63 - 1), item.place)


def check_array(item: Item) -> tuple[int, ...]:
    """Return the shape of nested lists of numbers; raise where they are ragged, empty, or hold something else."""
    shape: list[int] = []
    node = item.node
    while isinstance(node.value, tuple):
        if not node.value or len(shape) == _DEEPEST_ARRAY:
            item.fail(f"numbers nested at most {_DEEPEST_ARRAY} deep, and no empty lists")
        shape.append(len(node.value))
        node = node.value[0]
    _check_level(item, item.node, tuple(shape))
    return tuple(shape)


def _check_level(item: Item, node: Node, shape: tuple[int, ...]) -> None:
    if not shape:
        if not _is_number(node.value):
            Item(node, item.file, item.key).fail("a number")
        return
    if not isinstance(node.value, tuple) or len(node.value) != shape[0]:
        Item(node, item.file, item.key).fail(f"a list of {shape[0]}, as long as those beside it")
    for child in node.value:
        _check_level(item, child, shape[1:])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_READERS: dict[str, Callable[[Item], TensorSource]] = {
    "file": _read_file,
    "generator": _read_generator,
    "init": _read_init,
}

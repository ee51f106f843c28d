"""One stage: its operator, its parameters as written, where its tensors come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..values import nearest
from .model import Stage
from .parameters import replace_references
from .tensors import read_tensors
from .tree import Item

OP_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
FIXED_KEYS = ("op", "name", "input", "inputs")
TENSOR_KEYS = ("weight", "bias", "tensors")


def read_op(item: Item) -> str:
    """Return the name of a stage's operator."""
    entry = item.entries("a stage: a mapping with the key op").get("op")
    if entry is None:
        close = nearest("op", item.value)
        item.fail(f"the key op, such as op: Conv3d{close}", "a stage without op")
    op = entry.text("an operator's name such as Conv3d")
    if not re.fullmatch(OP_PATTERN, op) or op.endswith("\n"):
        entry.fail("an operator's name such as Conv3d")
    return op


def read_stage(item: Item, name: str, inputs: tuple[str, ...], values: Mapping[str, Any]) -> Stage:
    """Return the stage of `item` with parameter `values` put in for ``$name``."""
    keys = {k: v if k in FIXED_KEYS else replace_references(v, values) for k, v in item.entries().items()}
    tensors, flags = read_tensors(keys)
    raw = {k: v.plain() for k, v in keys.items() if k not in (*FIXED_KEYS, *TENSOR_KEYS)}
    places = {k: v.place for k, v in keys.items()}
    return Stage(name, keys["op"].value, inputs, {**raw, **flags}, tensors, item.place, places)

"""Blocks of stages: declared once and used by name, written in place, repeated; read into one flat list of stages.

A block's stages are a scope of their own. Their names begin with the block's, a dot between, as torch names the
modules of a module, so weights are found by the keys of its state dict.

    {block: double, name: enc1, channels: 32}       enc1.conv1, enc1.conv2
    {repeat: 2, name: body, stages: [{op: ReLU}]}   body.0.ReLU, body.1.ReLU
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..values import nearest
from .model import Parameter, Stage
from .parameters import PARAMETER_NAME, fit_value, read_parameters, replace_references
from .stages import read_op, read_stage
from .tree import Item, list_names
from .wiring import VOLUME, Scope, name_stages, read_inputs, read_name

BLOCK_KEYS = ("parameters", "inputs", "stages")
USE_KEYS = ("block", "name", "input", "inputs", "repeat")
GROUP_KEYS = ("name", "input", "inputs", "repeat", "stages")
MAX_REPEAT = 1000
MAX_STAGES = 10_000
MAX_NESTED = 20


@dataclass(frozen=True)
class Block:
    """Stages to be used by name.

    Attributes
    ----------
    name : str
    parameters : mapping
        What a use may say; one whose default is None it has to.
    inputs : tuple of str
        What its stages call the stages it reads.
    stages : Item
        The list as written.
    """

    name: str
    parameters: Mapping[str, Parameter]
    inputs: tuple[str, ...]
    stages: Item


Blocks = Mapping[str, Block]


def read_blocks(section: Item) -> dict[str, Block]:
    """Return the declared blocks by name, in order: each may use those before it."""
    return {name: _read_block(name, entry) for name, entry in section.entries("a mapping of blocks").items()}


def _read_block(name: str, entry: Item) -> Block:
    if not PARAMETER_NAME.match(name):
        entry.fail("a block's name of letters, digits and _")
    keys = entry.entries("a mapping with the key stages")
    entry.refuse_unknown(BLOCK_KEYS)
    if "stages" not in keys:
        entry.fail("the key stages", "a block without stages")
    inputs: tuple[str, ...] = (VOLUME,)
    if "inputs" in keys:
        inputs = tuple(read_name(item) for item in keys["inputs"].elements("a list of names"))
        if not inputs or len(set(inputs)) < len(inputs):
            keys["inputs"].fail("at least one name, each once")
    parameters = read_parameters(keys["parameters"], required=False) if "parameters" in keys else {}
    for parameter in parameters:
        if parameter in USE_KEYS:
            keys["parameters"].fail("another name", f"a parameter called {parameter}, a key of every use of a block")
    return Block(name, parameters, inputs, keys["stages"])


def read_stages(
    section: Item, values: Mapping[str, Any], blocks: Blocks
) -> tuple[tuple[Stage, ...], Mapping[str, str]]:
    """Return the stages of `section`, those of `blocks` among them, with parameter `values` put in for ``$name``.

    Beside them the name of each stage and each block, to that of the stage whose result it stands for.

    Raises
    ------
    SpecError
        A name, key or value is wrong, or there are more than `MAX_STAGES`.
    """
    out: list[Stage] = []
    scope = Scope({VOLUME: VOLUME}, values)
    _Reader(blocks, out).read(section, scope, 0)
    return tuple(out), scope.made


@dataclass
class _Reader:
    blocks: Blocks
    out: list[Stage]

    def read(self, section: Item, scope: Scope, nested: int) -> str:
        """Append the stages of `section`; return the full name of the last."""
        items = section.elements("a list of stages")
        if not items:
            section.fail("at least one stage", "no stages")
        if nested > MAX_NESTED:
            section.fail(f"at most {MAX_NESTED} blocks inside one another")
        kinds = [_kind_of(item) for item in items]
        names = name_stages(items, kinds, scope.given)
        scope.places = {name: i for i, name in enumerate(names)}
        last = next(iter(scope.given.values()))
        for i, item in enumerate(items):
            inputs = read_inputs(item, scope, i, last)
            full = scope.prefix + names[i]
            if full in scope.made:
                item.fail("names that differ", f"a second stage called {full!r}")
            if "op" in item.value:
                last = self._add(item, full, inputs, scope)
            elif "block" in item.value:
                last = self._use(item, full, inputs, scope, nested)
            else:
                last = self._group(item, full, inputs, scope, nested)
            scope.made[full] = last
        return last

    def _add(self, item: Item, full: str, inputs: tuple[str, ...], scope: Scope) -> str:
        if len(self.out) >= MAX_STAGES:
            item.fail(f"at most {MAX_STAGES} stages", "more")
        if len(full) > 100:
            item.fail("shorter names", f"a stage whose full name {full[:40]}... has {len(full)} characters")
        self.out.append(read_stage(item, full, inputs, scope.values))
        return full

    def _use(self, item: Item, full: str, inputs: tuple[str, ...], scope: Scope, nested: int) -> str:
        """Append the stages of a declared block."""
        block = self._find(item, nested)
        _count_inputs(item, inputs, block.inputs)
        given = {key: entry for key, entry in item.entries().items() if key not in USE_KEYS}
        for key, entry in given.items():
            if key not in block.parameters:
                known = [*USE_KEYS, *block.parameters]
                entry.fail(f"one of {list_names(known)}{nearest(key, known)}", f"the key {key[:60]!r}")
        shared = {key: _value_of(block.parameters[key], entry, scope.values) for key, entry in given.items()}
        defaults = {key: p.default for key, p in block.parameters.items() if p.default is not None}
        last = ""
        for suffix, turn in self._turns(item, scope.values, block.parameters):
            values = {**defaults, **shared, **turn}
            lacking = [key for key in block.parameters if key not in values]
            if lacking:
                item.fail(f"the key {lacking[0]}, a parameter of block {block.name}", f"no {lacking[0]}")
            reads = dict(zip(block.inputs, (last or inputs[0], *inputs[1:]), strict=True))
            inner = Scope(reads, {**scope.values, **values}, f"{full}{suffix}.", made=scope.made)
            last = self.read(block.stages, inner, nested + 1)
            scope.made[f"{full}{suffix}"] = last
        return last

    def _find(self, item: Item, nested: int) -> Block:
        entry = item.entries()["block"]
        name = entry.text("a block's name")
        if name not in self.blocks:
            known = f"one of {list_names(self.blocks)}" if self.blocks else "none, for the spec has no blocks"
            entry.fail(f"{known}{nearest(name, self.blocks)}", f"no block {name[:60]!r}")
        if nested > MAX_NESTED:
            entry.fail(f"at most {MAX_NESTED} blocks inside one another")
        return self.blocks[name]

    def _group(self, item: Item, full: str, inputs: tuple[str, ...], scope: Scope, nested: int) -> str:
        """Append the stages that are written in place; they see what stands around them."""
        item.refuse_unknown(GROUP_KEYS)
        _count_inputs(item, inputs, (VOLUME,))
        last = inputs[0]
        for suffix, turn in self._turns(item, scope.values, None):
            inner = Scope({VOLUME: last}, {**scope.values, **turn}, f"{full}{suffix}.", scope, made=scope.made)
            last = self.read(item.entries()["stages"], inner, nested + 1)
            scope.made[f"{full}{suffix}"] = last
        return last

    def _turns(
        self, item: Item, values: Mapping[str, Any], parameters: Mapping[str, Parameter] | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield for each repetition what its name ends in and the parameters of its own; one without ``repeat``."""
        entry = item.entries().get("repeat")
        if entry is None:
            yield "", {}
            return
        entry = replace_references(entry, values)
        if not isinstance(entry.value, dict):
            for n in range(entry.integer(1, MAX_REPEAT)):
                yield f".{n}", {}
            return
        lists = {key: column.elements("a list, one value a repetition") for key, column in entry.entries().items()}
        lengths = {len(column) for column in lists.values()}
        if len(lengths) != 1 or not 1 <= max(lengths) <= MAX_REPEAT:
            entry.fail(f"lists of one length, 1 to {MAX_REPEAT}")
        for key, column in entry.entries().items():
            if not PARAMETER_NAME.match(key) or (parameters is not None and key not in parameters):
                known = "a parameter's name" if parameters is None else f"one of {list_names(parameters)}"
                column.fail(known, f"the key {key[:60]!r}")
        for n in range(max(lengths)):
            kinds = parameters or {}
            yield f".{n}", {key: _value_of(kinds.get(key), column[n], values) for key, column in lists.items()}


def _kind_of(item: Item) -> str:
    """Return what a stage without a name is called by."""
    keys = item.entries("a stage: a mapping with the key op, block or stages")
    found = [key for key in ("op", "block", "stages") if key in keys]
    if len(found) > 1:
        keys[found[1]].fail("one of the two", f"{found[0]} and {found[1]} together")
    if found == ["block"]:
        return keys["block"].text("a block's name")
    if "op" not in keys and "repeat" in keys and not found:
        item.fail("the key stages or block: what is repeated", "repeat alone")
    return "block" if found == ["stages"] else read_op(item)


def _count_inputs(item: Item, inputs: tuple[str, ...], names: tuple[str, ...]) -> None:
    if len(inputs) != len(names):
        wanted = f"{len(names)}: {', '.join(names)}" if len(names) > 1 else "one"
        item.fail(f"{wanted}", f"{len(inputs)} inputs of a block")


def _value_of(parameter: Parameter | None, entry: Item, values: Mapping[str, Any]) -> Any:
    """Return what a use says for `parameter`; of one without a default any value."""
    item = replace_references(entry, values)
    if parameter is None or (parameter.default is None and parameter.unit is None):
        if item.value is None or isinstance(item.value, dict):
            item.fail("a number, text, true, false or a list")
        return item.plain()
    return fit_value(replace(parameter, default=0.0) if parameter.default is None else parameter, item)

"""The format's top level: from a tree of placed values to a `Spec`, every fault at its place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ..values import nearest
from .blocks import read_blocks, read_stages
from .model import DIALECTS, DTYPES, FORMAT_VERSION, LAYOUTS, InputSpec, Parameter, Spec, Stage, WeightsFile
from .parameters import put_settings, read_parameters
from .paths import check_path
from .tree import Item, Node, list_names
from .wiring import VOLUME, read_name

SPEC_KEYS = (
    *("volconv", "name", "description", "dialect", "dtype"),
    *("parameters", "input", "weights", "blocks", "stages", "outputs"),
)
INPUT_KEYS = ("channels", "axes")
WEIGHTS_KEYS = ("file", "prefix", "layout")
AXES = ("kji", "ijk")
SUPPORTED_DTYPES = DTYPES
MAX_CHANNELS = 1_000_000

# The rest of format version 1, which this version of the package does not carry out.
LATER_SPEC_KEYS = ("output",)
LATER_INPUT_KEYS = ("orientation", "spacing", "order", "mask", "intensity", "pad_multiple")
LATER_DTYPES = tuple(d for d in DTYPES if d not in SUPPORTED_DTYPES)


def build_spec(node: Node, text: str, source: str, folder: Path | None, settings: Mapping[str, object] | None) -> Spec:
    """Return the spec that the tree `node` of `text` holds, `settings` put in.

    Raises
    ------
    SpecError
        A key or value is wrong.
    UsageError
        A setting fits no parameter.
    """
    keys = _read_top(Item(node, source))
    parameters = read_parameters(keys["parameters"]) if "parameters" in keys else {}
    values = put_settings(parameters, settings, source)
    blocks = read_blocks(keys["blocks"]) if "blocks" in keys else {}
    stages, results = read_stages(keys["stages"], values, blocks)
    return Spec(
        name=_read_title(keys.get("name"), source),
        stages=stages,
        outputs=_read_outputs(keys.get("outputs"), stages, results),
        blocks={name: stage for name, stage in results.items() if name != stage},
        description=keys["description"].text() if "description" in keys else "",
        dialect=keys["dialect"].choice(DIALECTS) if "dialect" in keys else "torch",
        dtype=keys["dtype"].choice(SUPPORTED_DTYPES, LATER_DTYPES) if "dtype" in keys else "float32",
        parameters=parameters,
        settings=values,
        input=_read_input(keys.get("input")),
        weights=_read_weights(keys.get("weights")),
        source=source,
        folder=folder,
        text=text,
        digest=hashlib.sha256(text.encode("utf-8")).hexdigest(),
    )


def read_declared(node: Node, source: str) -> tuple[str, dict[str, Parameter]]:
    """Return a spec's description and parameters alone."""
    keys = _read_top(Item(node, source))
    description = keys["description"].text() if "description" in keys else ""
    return description, read_parameters(keys["parameters"]) if "parameters" in keys else {}


def _read_top(root: Item) -> dict[str, Item]:
    keys = root.entries("a spec: a mapping with the keys volconv and stages")
    _check_version(root, keys)
    root.refuse_unknown(SPEC_KEYS, LATER_SPEC_KEYS)
    if "stages" not in keys:
        root.fail("the key stages", "a spec without stages")
    return keys


def _check_version(root: Item, keys: Mapping[str, Item]) -> None:
    """The version goes first: a newer format has keys that are unknown here."""
    version = keys.get("volconv")
    expected = f"volconv: {FORMAT_VERSION}"
    if version is None:
        root.fail(f"the format's version, {expected}{nearest('volconv', keys)}", "a spec without the key volconv")
    if isinstance(version.value, bool) or not isinstance(version.value, int) or version.value < FORMAT_VERSION:
        version.fail(f"the format's version, {expected}")
    if version.value > FORMAT_VERSION:
        version.fail(f"{expected}; a newer volconv reads this file", f"format version {version.found}")


def _read_title(item: Item | None, source: str) -> str:
    if item is None:
        return Path(source.removeprefix("preset ")).stem or "pipeline"
    if not item.text("a name"):
        item.fail("a name", "no text")
    return item.text()


def _read_input(section: Item | None) -> InputSpec:
    if section is None:
        return InputSpec()
    keys = section.entries("a mapping such as {channels: 1}")
    section.refuse_unknown(INPUT_KEYS, LATER_INPUT_KEYS)
    channels = keys["channels"].integer(1, MAX_CHANNELS) if "channels" in keys else 1
    return InputSpec(channels, keys["axes"].choice(AXES) if "axes" in keys else "kji", section.place)


def _read_weights(section: Item | None) -> WeightsFile | None:
    if section is None:
        return None
    if isinstance(section.value, str):
        return WeightsFile(check_path(section.value, section.place), place=section.place)
    keys = section.entries("a path, or a mapping with the key file")
    section.refuse_unknown(WEIGHTS_KEYS)
    if "file" not in keys:
        section.fail("the key file", "no file")
    return WeightsFile(
        file=check_path(keys["file"].text("a path"), keys["file"].place),
        prefix=keys["prefix"].text("the beginning of keys") if "prefix" in keys else "",
        layout=keys["layout"].choice(LAYOUTS) if "layout" in keys else "",
        place=keys["file"].place,
    )


def _read_outputs(section: Item | None, stages: tuple[Stage, ...], results: Mapping[str, str]) -> tuple[str, ...]:
    if section is None:
        return (stages[-1].name,)
    entries = section.elements("a list of stage names")
    if not entries:
        section.fail("at least one stage name")
    out: dict[str, str] = {}
    for entry in entries:
        name = _read_output(entry, results)
        # Each output is a file; some file systems take A and a for the same.
        if name.lower() in out:
            entry.fail(
                "every output once, and names that differ not only in case", f"{name!r} beside {out[name.lower()]!r}"
            )
        out[name.lower()] = name
    return tuple(out.values())


def _read_output(entry: Item, results: Mapping[str, str]) -> str:
    name = read_name(entry)
    if name == VOLUME:
        entry.fail("the name of a stage", "input, the volume itself")
    if name not in results:
        entry.fail(f"one of {list_names(list(results))}{nearest(name, results)}", f"no stage {name!r}")
    return results[name]

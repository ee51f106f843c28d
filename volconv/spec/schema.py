"""The format as a JSON Schema (draft 2020-12), for editors and other tools.

Operators and generators lie beside this package, not below it, so the schemas of their parameters are passed in.
What a schema cannot say (names that must exist, shapes, paths inside the folder) only the reader checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .blocks import MAX_REPEAT
from .check import AXES, MAX_CHANNELS, SUPPORTED_DTYPES
from .model import DIALECTS, FORMAT_VERSION, LAYOUTS
from .parameters import UNITS
from .stages import TENSOR_KEYS
from .tensors import INIT_KINDS
from .wiring import NAME_PATTERN, VOLUME

Schema = dict[str, Any]

_REFERENCE = {"$ref": "#/$defs/reference"}
_PARAMETER_NAME = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
_STAGE_NAME = {"type": "string", "pattern": NAME_PATTERN}
_INPUT_NAME = {**_STAGE_NAME, "description": f"an earlier stage, or {VOLUME}: the volume itself"}


def make_schema(
    ops: Mapping[str, Mapping[str, object]], generators: Mapping[str, Mapping[str, object]]
) -> dict[str, Any]:
    """Return the JSON Schema of a spec.

    Parameters
    ----------
    ops : mapping
        Operator name to its parameters: parameter name to JSON Schema.
    generators : mapping
        Generator name to its parameters: parameter name to JSON Schema.

    Returns
    -------
    dict
        JSON-able; describes what YAML and JSON files alike may hold.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"volconv spec, format version {FORMAT_VERSION}",
        "type": "object",
        "required": ["volconv", "stages"],
        "additionalProperties": False,
        "properties": _top_properties(),
        "$defs": {
            "reference": {
                "description": "stands for a parameter's value",
                "type": "string",
                "pattern": r"^\$[A-Za-z_][A-Za-z0-9_]*$",
            },
            "parameter": _parameter(),
            "array": _array(),
            "source": _source(generators),
            "block": _block(),
            "stage": _any_stage(),
            "operator": _stage(ops),
            "use": _use(),
            "group": _group(),
        },
    }


def _top_properties() -> Schema:
    return {
        "volconv": {"description": "version of the format", "type": "integer", "const": FORMAT_VERSION},
        "name": {"description": "name of the pipeline", "type": "string", "minLength": 1},
        "description": {"description": "what it is for", "type": "string"},
        "dialect": _choice("whose parameter rules, defaults and weight layouts hold", DIALECTS),
        "dtype": _choice("number type of the computation", SUPPORTED_DTYPES),
        "parameters": {
            "description": "values that --set may change, used in stages as $name",
            "type": "object",
            "propertyNames": {"pattern": _PARAMETER_NAME},
            "additionalProperties": {"$ref": "#/$defs/parameter"},
        },
        "input": _object(
            "the volume",
            {
                "channels": {
                    "description": "channels of the volume",
                    **{"type": "integer", "minimum": 1, "maximum": MAX_CHANNELS, "default": 1},
                },
                "axes": _choice("NIfTI axes that become D, H, W", AXES),
            },
        ),
        "weights": _weights(),
        "blocks": {
            "description": "stages to be used by name, each block after those it uses",
            "type": "object",
            "propertyNames": {"pattern": _PARAMETER_NAME},
            "additionalProperties": {"$ref": "#/$defs/block"},
        },
        "stages": _stages("operators and blocks of them in the order they are carried out"),
        "outputs": {
            "description": "stages whose results are written; the last stage if left out",
            **{"type": "array", "minItems": 1, "uniqueItems": True, "items": _STAGE_NAME},
        },
    }


def _weights() -> Schema:
    path = {"description": "path relative to the spec's folder, and inside it", "type": "string", "minLength": 1}
    keys = {
        "file": path,
        "prefix": {"description": "put before every key", "type": "string", "default": ""},
        "layout": {
            "description": "whose layout the tensors have; the format's own, else the dialect's, if left out",
            "enum": list(LAYOUTS),
        },
    }
    return {"description": "weights file of all stages", "anyOf": [path, _object("the same", keys, ("file",))]}


def _parameter(required: Iterable[str] = ("default",)) -> Schema:
    value = {"type": ["number", "string"]}
    return _object(
        "a value that --set may change",
        {
            "default": {
                "description": "value if none is set; a length may have a unit: 2mm, 1.5voxel",
                "anyOf": [{"type": ["number", "string", "boolean"]}, {"type": "array", "items": value, "minItems": 1}],
            },
            "unit": {"description": "unit of a bare number; makes the parameter a length", "enum": list(UNITS)},
            "min": {"description": "smallest value allowed, in the unit", "type": "number"},
            "max": {"description": "largest value allowed, in the unit", "type": "number"},
            "help": {"description": "what it does", "type": "string"},
        },
        required,
    )


def _array() -> Schema:
    element = {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/array"}, _REFERENCE]}
    return {"description": "nested numbers", "type": "array", "minItems": 1, "items": element}


def _source(generators: Mapping[str, Mapping[str, object]]) -> Schema:
    key = {"description": "key of a tensor", "type": "string", "minLength": 1}
    file = {"description": "weights file of its own, inside the spec's folder", "type": "string", "minLength": 1}
    generator = _dispatch("a generated filter bank, one per input channel", "generator", generators, {})
    init = {
        "init": {"description": "random numbers of the dialect's distribution", "enum": list(INIT_KINDS)},
        "seed": {"description": "same seed, same numbers", "anyOf": [{"type": "integer", "minimum": 0}, _REFERENCE]},
    }
    return {
        "description": "where a tensor comes from",
        "anyOf": [
            key,
            {"type": "number"},
            {"$ref": "#/$defs/array"},
            _object("a tensor of another file", {"file": file, "key": key}, ("file",)),
            generator,
            _object("random numbers", init, ("init", "seed")),
        ],
    }


def _stages(description: str) -> Schema:
    return {"description": description, "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/stage"}}


def _any_stage() -> Schema:
    """Return the schema of whatever stands in a list of stages, told apart by its key."""
    group = {"if": {"required": ["stages"]}, "then": {"$ref": "#/$defs/group"}, "else": {"$ref": "#/$defs/operator"}}
    return {"if": {"required": ["block"]}, "then": {"$ref": "#/$defs/use"}, "else": group}


def _block() -> Schema:
    keys = {
        "parameters": {
            "description": "what a use of the block says, or has to where there is no default",
            "type": "object",
            "propertyNames": {"pattern": _PARAMETER_NAME},
            "additionalProperties": _parameter(()),
        },
        "inputs": {
            "description": "what its stages call the stages it reads; input if left out",
            **{"type": "array", "minItems": 1, "uniqueItems": True, "items": _STAGE_NAME},
        },
        "stages": _stages("what it does"),
    }
    return _object("stages to be used by name", keys, ("stages",))


def _use() -> Schema:
    keys = {"block": {"description": "a declared block", "type": "string"}, **_named(), "repeat": _repeat()}
    return {
        **{"description": "the stages of a declared block; other keys are its parameters", "type": "object"},
        **{"required": ["block"], "properties": keys, "not": {"required": ["input", "inputs"]}},
    }


def _group() -> Schema:
    keys = {**_named(), "repeat": _repeat(), "stages": _stages("what is done, or repeated")}
    return {**_object("stages in a scope of their own", keys, ("stages",)), "not": {"required": ["input", "inputs"]}}


def _named() -> Schema:
    return {
        "name": {**_STAGE_NAME, "description": "put before the names of its stages", "not": {"const": VOLUME}},
        "input": {**_INPUT_NAME, "description": "the stage it reads; the one before if left out"},
        "inputs": {"description": "the stages it reads", "type": "array", "minItems": 1, "items": _INPUT_NAME},
    }


def _repeat() -> Schema:
    lists = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array", "minItems": 1}}
    times = {"type": "integer", "minimum": 1, "maximum": MAX_REPEAT}
    return {
        "description": "how often, or a list of values a parameter, one a repetition",
        "anyOf": [times, lists, _REFERENCE],
    }


def _stage(ops: Mapping[str, Mapping[str, object]]) -> Schema:
    source = {"$ref": "#/$defs/source"}
    own = {name: {k: v for k, v in keys.items() if k not in TENSOR_KEYS} for name, keys in ops.items()}
    common = {
        "name": {**_STAGE_NAME, "description": "the operator's name if left out", "not": {"const": VOLUME}},
        "input": {**_INPUT_NAME, "description": "the stage it reads; the one before if left out"},
        "inputs": {"description": "the stages it reads", "type": "array", "minItems": 1, "items": _INPUT_NAME},
        "weight": {"description": "NAME.weight of the weights file if left out", **source},
        "bias": {"description": "NAME.bias of the weights file if left out", "anyOf": [{"type": "boolean"}, source]},
        "tensors": {"description": "other tensors by name", "type": "object", "additionalProperties": source},
    }
    out = _dispatch("one operator", "op", own, common)
    out["not"] = {"required": ["input", "inputs"]}
    return out


def _dispatch(description: str, key: str, kinds: Mapping[str, Mapping[str, object]], common: Schema) -> Schema:
    """Return the schema of an object whose `key` decides which other keys it may have."""
    return {
        "description": description,
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": list(kinds)}, **common},
        "allOf": [
            {
                "if": {"properties": {key: {"const": kind}}, "required": [key]},
                "then": {"properties": {name: _or_reference(schema) for name, schema in own.items()}},
            }
            for kind, own in kinds.items()
        ],
        "unevaluatedProperties": False,
    }


def _or_reference(schema: object) -> Schema:
    """Return `schema` such that a ``$name`` may stand for the value, or for an element of it."""
    return {"anyOf": [_open_elements(schema), _REFERENCE]}


def _open_elements(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    out = dict(schema)
    if "items" in out:
        out["items"] = _or_reference(out["items"])
    for word in ("anyOf", "oneOf", "allOf"):
        if word in out:
            out[word] = [_open_elements(option) for option in out[word]]
    return out


def _object(description: str, properties: Schema, required: Iterable[str] = ()) -> Schema:
    out = {"description": description, "type": "object", "properties": properties, "additionalProperties": False}
    return {**out, "required": list(required)} if required else out


def _choice(description: str, options: Iterable[str]) -> Schema:
    names = list(options)
    return {"description": description, "enum": names, "default": names[0]}

"""Validates a spec and its weights without a volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..dialects import dialect_names
from ..formats.intensity import describe_step
from ..graph.build import build_graph, make_loader
from ..ops.base import Wire
from ..ops.registry import get_dialect
from ..spec.model import Spec
from ..spec.schema import make_schema
from ..weights.generators import generator_schemas
from .job import read_spec
from .options import Options
from .prepared import mask_name
from .provenance import plain

_EDGE = 4096
"""Edge of the cube of 1 mm voxels a spec is checked on: large enough for any kernel that fits a real scan."""


def check(spec: Any, *, weights: str | Path | None = None, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Check `spec` and its weights: form, parameters, wiring, channels, shapes of tensors.

    What depends on the scan (whether a kernel fits, what a millimetre is in voxels) is `plan`'s to say.

    Returns
    -------
    dict
        ``name``, ``stages`` (name, op, channels, parameters, tensors), ``outputs``, ``parameters``, ``weights``.

    Raises
    ------
    VolconvError
        For the first fault, with its place.
    """
    parsed = read_spec(spec, settings or {})
    loader = make_loader(parsed, None if weights is None else Path(weights))
    mask_name(parsed, Options())
    spacing_mm = parsed.input.preparation.spacing_mm or (1.0, 1.0, 1.0)
    edge = -(-_EDGE // parsed.input.preparation.pad_multiple) * parsed.input.preparation.pad_multiple
    wire = Wire((edge, edge, edge), parsed.input.channels, parsed.dtype, spacing_mm=spacing_mm)
    try:
        graph = build_graph(parsed, wire, loader)
        unused = loader.unused()
    finally:
        loader.close()
    return {
        "name": parsed.name,
        "description": parsed.description,
        "dialect": parsed.dialect,
        "dtype": parsed.dtype,
        "input": {"channels": parsed.input.channels, "axes": parsed.input.axes, **_describe_preparation(parsed)},
        "output": {"space": "input"} if parsed.input.preparation.returns else {},
        "parameters": {name: plain(value) for name, value in parsed.settings.items()},
        "stages": [
            {
                "name": node.name,
                "op": node.op_name,
                "inputs": list(node.inputs),
                "channels": node.wire.channels,
                "parameters": {key: plain(value) for key, value in node.parameters.items()},
                "tensors": {name: list(tensor.shape) for name, tensor in node.tensors.items()},
            }
            for node in graph.nodes
        ],
        "outputs": list(graph.outputs),
        "weights": [{"name": str(path), "unused": names} for path, names in unused.items()],
    }


def _describe_preparation(spec: Spec) -> dict[str, Any]:
    """Return the entries of ``input:`` that were given, beside channels and axes."""
    asked = spec.input.preparation
    found = {
        "orientation": asked.orientation,
        "spacing": asked.spacing_mm and list(asked.spacing_mm),
        "order": asked.order if asked.spacing_mm or asked.returns else None,
        "mask": spec.input.mask and spec.input.mask.file,
        "intensity": [describe_step(step) for step in asked.intensity] or None,
        "pad_multiple": asked.pad_multiple if asked.pad_multiple > 1 else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the spec's format; an operator's parameter may be what any dialect makes of it."""
    kinds: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for name in dialect_names():
        for op, reader in get_dialect(name).readers.items():
            for key, found in reader.parameters.items():
                options = kinds.setdefault(op, {}).setdefault(key, [])
                options.extend([found] if found not in options else [])
            kinds.setdefault(op, {})
    ops = {
        op: {key: found[0] if len(found) == 1 else {"anyOf": found} for key, found in keys.items()}
        for op, keys in kinds.items()
    }
    return make_schema(ops, generator_schemas())

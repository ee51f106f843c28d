"""The record every output carries: what it was made from and how, and nothing that would differ between equal runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .._version import __version__
from ..spec.model import Spec
from ..values import Length
from .options import Options

RECORD_FORMAT = 1


def make_record(
    spec: Spec,
    options: Options,
    stage: str | list[str],
    inputs: Sequence[Mapping[str, str]],
    weights: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """Return the record of one output.

    Parameters
    ----------
    spec : Spec
    options : Options
        Only those that change values are kept.
    stage : str or list of str
        Whose result the output holds.
    inputs, weights : sequences of mappings
        ``name`` and ``sha256`` of every file read, in order; of an HDF5 volume its ``dataset``.
    """
    return {
        "format": RECORD_FORMAT,
        "volconv": __version__,
        "spec": {"name": spec.name, "sha256": spec.digest, "text": spec.text},
        "parameters": {name: plain(value) for name, value in spec.settings.items()},
        "inputs": [dict(entry) for entry in inputs],
        "weights": [dict(entry) for entry in weights],
        "options": value_options(options),
        "output": stage,
    }


def value_options(options: Options) -> dict[str, Any]:
    """Return the options that change values, as given."""
    out: dict[str, Any] = {}
    if options.settings:
        out["set"] = {name: plain(value) for name, value in options.settings.items()}
    if options.weights is not None:
        out["weights"] = options.weights.name
    if options.mask is not None:
        out["mask"] = options.mask.name
    defaults = {"dtype": None, "output_type": None, "channels": "4d", "algorithm": "auto", "axes": None}
    for name, default in defaults.items():
        value = getattr(options, name)
        if value != default:
            out[name] = value
    if options.spacing is not None:
        out["spacing"] = list(options.spacing)
    return out


def plain(value: Any) -> Any:
    """Return a parameter's value as JSON holds it: lengths as text with their unit."""
    if isinstance(value, Length):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def format_record(record: Mapping[str, Any]) -> str:
    """Return the record as text, the same for the same record."""
    return json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

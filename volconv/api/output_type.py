"""What ``--output-type`` does: scores, probabilities or labels at the end of a spec that leaves it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..errors import UsageError
from ..graph.model import Graph
from ..spec.model import NOWHERE, Spec, Stage

_MADE = {"Softmax": "softmax", "LogSoftmax": "features", "ArgMax": "argmax", "Threshold": "argmax"}
"""Operators after which nothing is open any more, and what they give."""
_FOLLOWING = ("LargestComponent", "FillHoles", "Remap", "Identity")
"""Operators that give what they read."""
_APPENDED = {"softmax": "Softmax", "argmax": "ArgMax"}
_AXIS = {"onnx": {"axis": 1}, "lucid": {"dim": 1}}
"""How a softmax says its axis in the dialects where it must."""


def end_in(spec: Spec, output_type: str | None) -> Spec:
    """Return `spec` with a stage behind each output that makes `output_type` of its scores.

    Raises
    ------
    UsageError
        An output is something else already.
    """
    if output_type is None:
        return spec
    stages = {stage.name: stage for stage in spec.stages}
    appended: dict[str, Stage] = {}
    outputs = []
    for name in spec.outputs:
        made = _what_it_gives(name, stages)
        if made not in (None, output_type):
            raise UsageError(
                f"--output-type {output_type}: the output {name!r} of this spec is {made} already, expected one that "
                "ends in scores"
            )
        if made == output_type or output_type == "features":
            outputs.append(name)
            continue
        taken = {*stages, *spec.blocks, *(stage.name for stage in appended.values())}
        stage = appended[name] = _append(name, output_type, spec.dialect, taken)
        outputs.append(stage.name)
    return replace(spec, stages=(*spec.stages, *appended.values()), outputs=tuple(outputs))


def _what_it_gives(name: str, stages: Mapping[str, Stage]) -> str | None:
    """Return what the stage `name` gives by its operators; None where it ends in scores, or what stands for them."""
    while name in stages:
        stage = stages[name]
        if stage.op not in _FOLLOWING:
            return _MADE.get(stage.op)
        name = stage.inputs[0]
    return None


def _append(name: str, output_type: str, dialect: str, taken: set[str]) -> Stage:
    new = f"{name}_{output_type}"
    lower = {other.lower() for other in taken}
    while new.lower() in lower:
        new += "_"
    values = _AXIS.get(dialect, {}) if output_type == "softmax" else {}
    return Stage(new, _APPENDED[output_type], (name,), values)


def check_scores(spec: Spec, graph: Graph, output_type: str | None) -> None:
    """Raise `UsageError` where `end_in` put a stage behind an output of `graph` that has one channel."""
    for stage in spec.stages:
        if stage.place == NOWHERE and graph.wire(stage.inputs[0]).channels == 1:
            raise UsageError(
                f"--output-type {output_type}: the output {stage.inputs[0]!r} has one channel, expected several to "
                "compare; a Threshold stage makes labels of one"
            )

"""From scores to label maps; what each stage does: [spec.md](spec.md).

Frameworks name the axis of a softmax in different words and with different defaults; here it can only be that of the
channels, the second of (N, C, D, H, W). ``Threshold`` is volconv's own: label 1 where x > ``threshold``, else 0;
torch's class of that name is another. ``FillHoles`` has no parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..values import Values, describe
from .activations import Activation
from .argmax import ArgMax
from .base import MOST_LABELS, Op
from .conv_reader import described
from .fill_holes import FillHoles
from .largest_component import CONNECTIVITIES, LargestComponent
from .reader import INT, NUMBER, Context, OpReader
from .remap import Remap
from .softmax import Softmax

CHANNEL_AXIS = 1
_FROM_THE_END = -4  # the same axis, counted from the end
_LABEL = re.compile(r"[0-9]{1,8}")


def make_softmax_readers(names: tuple[str, ...], key: str, default: int | None, wording: str) -> dict[str, OpReader]:
    """Return the readers of a dialect for `names`, of ``Softmax`` and ``LogSoftmax``.

    Parameters
    ----------
    names : tuple of str
        Those that the framework has.
    key : str
        What it calls the axis.
    default : int or None
        The axis it takes for (N, C, D, H, W) where none is named; None if one has to be.
    wording : str
        The rule, for the table of operators.
    """
    parameters = {key: described({**INT, "enum": [CHANNEL_AXIS, _FROM_THE_END]}, wording, default)}

    def reader(name: str) -> OpReader:
        def read(values: Values, context: Context) -> Op:  # noqa: ARG001
            values.refuse_unknown(parameters)
            check_axis(values, key, default)
            return Softmax(log=name == "LogSoftmax")

        return OpReader(name, parameters, read)

    return {name: reader(name) for name in names}


def check_axis(values: Values, key: str, default: int | None) -> None:
    """Fail unless the axis called `key`, or its `default`, is that of the channels."""
    if key not in values and default is None:
        values.fail(None, f"no {key}", f"{key}: {CHANNEL_AXIS}, the channels")
    axis = values.integer(key, default)
    if axis not in (CHANNEL_AXIS, _FROM_THE_END):
        found = describe(axis) if key in values else f"no {key}, which means {axis}"
        values.fail(key if key in values else None, found, f"{key}: {CHANNEL_AXIS}, the channels of (N, C, D, H, W)")


ARGMAX_PARAMETERS: dict[str, Mapping[str, Any]] = {
    "axis": described({**INT, "enum": [CHANNEL_AXIS, _FROM_THE_END]}, "1: the channels", CHANNEL_AXIS),
    "keepdims": described({**INT, "enum": [1]}, "1", 1),
    "select_last_index": described({**INT, "enum": [0, 1]}, "0: the first of equal channels; 1: the last", 0),
}


def _read_onnx_argmax(values: Values, context: Context) -> Op:  # noqa: ARG001
    values.refuse_unknown(ARGMAX_PARAMETERS)
    check_axis(values, "axis", CHANNEL_AXIS)
    for key, allowed in (("keepdims", (1,)), ("select_last_index", (0, 1))):
        if values.integer(key, allowed[0]) not in allowed:
            values.fail(key, describe(values.get(key)), " or ".join(map(str, allowed)))
    return ArgMax(last=values.integer("select_last_index", 0) == 1)


ONNX_ARGMAX = OpReader("ArgMax", ARGMAX_PARAMETERS, _read_onnx_argmax)
"""ONNX' operator; its default axis is the batch's, which is never meant, so that of the channels stands for it."""


def _read_threshold(values: Values, context: Context) -> Op:  # noqa: ARG001
    values.refuse_unknown(("threshold",))
    return Activation("threshold", (values.number("threshold"),))


def _read_remap(values: Values, context: Context) -> Op:  # noqa: ARG001
    values.refuse_unknown(("labels",))
    given = values.get("labels")
    if not isinstance(given, Mapping) or not given:
        values.fail("labels", describe(given), "labels and what they become, such as {1: 10, 2: 11}")
    pairs = {}
    for key, value in given.items():
        if not _LABEL.fullmatch(str(key)) or int(key) >= MOST_LABELS:
            values.fail("labels", describe(key), f"a label: a whole number from 0 to {MOST_LABELS - 1}")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST_LABELS:
            values.fail("labels", describe(value), f"a label: a whole number from 0 to {MOST_LABELS - 1}")
        if int(key) in pairs:
            values.fail("labels", f"label {int(key)} twice", "every label once")
        pairs[int(key)] = value
    return Remap(tuple(sorted(pairs.items())))


_LARGEST = {"connectivity": described({"enum": list(CONNECTIVITIES)}, "6, 18 or 26", 26)}


def _read_largest(values: Values, context: Context) -> Op:  # noqa: ARG001
    values.refuse_unknown(("connectivity",))
    connectivity = values.integer("connectivity", 26)
    if connectivity not in CONNECTIVITIES:
        values.fail("connectivity", describe(connectivity), "6, 18 or 26")
    return LargestComponent(connectivity)


def _plain(make: Callable[[], Op]) -> Callable[[Values, Context], Op]:
    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(())
        return make()

    return read


_COMMON: dict[str, OpReader] = {
    "ArgMax": OpReader("ArgMax", {}, _plain(ArgMax)),
    "Threshold": OpReader("Threshold", {"threshold": described(NUMBER, "a number")}, _read_threshold),
    "LargestComponent": OpReader("LargestComponent", _LARGEST, _read_largest),
    "FillHoles": OpReader("FillHoles", {}, _plain(FillHoles)),
    "Remap": OpReader(
        "Remap",
        {
            "labels": {
                "description": "`{label: label, …}`, what becomes of each",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[0-9]{1,8}$"},
                "additionalProperties": {**INT, "minimum": 0, "maximum": MOST_LABELS - 1},
            }
        },
        _read_remap,
    ),
}
"""Those that mean the same in every dialect."""

_SAID = "1 (or -4): the channels; to be said"
_TAKEN = "1 (or -4): the channels, which are taken too where it is not said"
_BOTH = ("Softmax", "LogSoftmax")
READERS: dict[str, dict[str, OpReader]] = {
    "torch": {**make_softmax_readers(_BOTH, "dim", 1, _TAKEN), **_COMMON},
    "lucid": {**make_softmax_readers(_BOTH, "dim", None, _SAID), **_COMMON},
    "megengine": {
        **make_softmax_readers(("Softmax",), "axis", 1, _TAKEN),
        **make_softmax_readers(("LogSoftmax",), "axis", None, _SAID),
        **_COMMON,
    },
    "onnx": {
        **make_softmax_readers(_BOTH, "axis", -1, f"{_SAID}, for ONNX takes the last axis where it is not"),
        **_COMMON,
        "ArgMax": ONNX_ARGMAX,
    },
}

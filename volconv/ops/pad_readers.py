"""Readers of the paddings, with each framework's names and order of the amounts.

torch and Lucid list the amounts from the last axis on, low before high: W, W, H, H, D, D. ONNX lists all lows, then all
highs, MegEngine a pair an axis, both from the first axis on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..values import Values, describe
from .base import Op
from .conv_reader import described
from .pad import PAD_MODES, Pad
from .reader import INT, INTS, NUMBER, Context, OpReader
from .shape_readers import AXIS_RULE, as_list, read_axes
from .slice import Four

_ONNX_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
_MEGENGINE_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "replicate", "edge": "replicate"}
_SIDES = "W low, W high, H low, …"
_LAYERS = {"ConstantPad": "constant", "ZeroPad": "constant", "ReflectionPad": "reflect",
           "ReplicationPad": "replicate", "CircularPad": "circular"}  # fmt: skip
_LUCID = ("ConstantPad2d", "ConstantPad3d", "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "ReplicationPad3d")


def pad_readers(dialect: str) -> dict[str, OpReader]:
    """Return the readers of `dialect`: ``Pad``, and the framework's classes where it has such."""
    if dialect == "onnx":
        return {"Pad": _onnx_reader()}
    if dialect == "megengine":
        return {"Pad": _megengine_reader()}
    layers = [_layer_reader(name, rank) for name in _LAYERS for rank in (2, 3)]
    return {"Pad": _functional_reader(), **{r.name: r for r in layers if dialect != "lucid" or r.name in _LUCID}}


def _make(values: Values, key: str, low: list[int], high: list[int], mode: str, value: float) -> Pad:
    """Return the operator for amounts along channels, D, H, W."""
    if mode == "circular" and min(*low, *high) < 0:
        values.fail(key, describe(values.get(key)), "amounts of at least 0 in circular mode")
    return Pad(_four(low), _four(high), mode, value)


def _four(numbers: list[int]) -> Four:
    c, d, h, w = numbers
    return (c, d, h, w)


def _from_last(values: Values, lengths: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return lows and highs from a list of one of `lengths`, last axis first."""
    raw = values.get("padding")
    if not isinstance(raw, list | tuple) or len(raw) not in lengths:
        found = f"a list of {len(raw)}" if isinstance(raw, list | tuple) else describe(raw)
        values.fail("padding", found, f"a whole number or a list of {' or '.join(map(str, lengths))}: {_SIDES}")
    amounts = values.integers("padding", len(raw))
    missing = (0,) * (4 - len(raw) // 2)
    return [*missing, *amounts[-2::-2]], [*missing, *amounts[::-2]]


def _functional_reader() -> OpReader:
    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(("padding", "mode", "value"))
        mode = values.choice("mode", PAD_MODES, "constant")
        if "value" in values and mode != "constant":
            values.fail("value", f"value in {mode} mode", "mode: constant beside it")
        if isinstance(values.get("padding"), int):
            low = high = [0, *values.integers("padding", 3)]
        else:
            low, high = _from_last(values, (2, 4, 6, 8) if mode == "constant" else (4, 6))
        return _make(values, "padding", low, high, mode, values.number("value", 0.0))

    parameters = {
        "padding": described(INTS, f"int, or 2, 4, 6 (constant: or 8, channels last) amounts: {_SIDES} < 0 takes off"),
        "mode": described({"enum": list(PAD_MODES)}, "`constant`, `reflect`, `replicate`, `circular`", "constant"),
        "value": described(NUMBER, "the constant", 0.0),
    }
    return OpReader("Pad", parameters, read)


def _layer_reader(kind: str, rank: int) -> OpReader:
    parameters: dict[str, Mapping[str, Any]] = {"padding": described(INTS, f"int, or {2 * rank} amounts: {_SIDES}")}
    if kind == "ConstantPad":
        parameters["value"] = described(NUMBER, "the constant")

    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(parameters)
        if isinstance(values.get("padding"), int):
            low = high = [*[0] * (4 - rank), *values.integers("padding", rank)]
        else:
            low, high = _from_last(values, (2 * rank,))
        value = values.number("value") if kind == "ConstantPad" else 0.0
        return _make(values, "padding", low, high, _LAYERS[kind], value)

    return OpReader(f"{kind}{rank}d", parameters, read, rank=rank)


def _onnx_reader() -> OpReader:
    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(("pads", "mode", "constant_value", "axes"))
        mode = _ONNX_MODES[values.choice("mode", _ONNX_MODES, "constant")]
        if "axes" in values:
            axes = read_axes(values, "axes")
            pads = values.integers("pads", len(as_list(values, "pads", 2 * len(axes))))
        else:
            pads = values.integers("pads", len(as_list(values, "pads", 10)))
            if pads[0] or pads[5]:
                values.fail("pads", f"{pads[0]} and {pads[5]} along N", "0: volumes are not added")
            pads, axes = (*pads[1:5], *pads[6:]), (0, 1, 2, 3)
        low, high = [0] * 4, [0] * 4
        for n, axis in enumerate(axes):
            low[axis], high[axis] = pads[n], pads[len(axes) + n]
        return _make(values, "pads", low, high, mode, values.number("constant_value", 0.0))

    parameters = {
        "pads": described({"type": "array", "items": INT}, "lows, then highs, of `axes`, or of N, C, D, H, W (N: 0)"),
        "mode": described({"enum": list(_ONNX_MODES)}, "`constant`, `reflect`, `edge`, `wrap`", "constant"),
        "constant_value": described(NUMBER, "the constant", 0.0),
        "axes": described({"type": "array", "items": INT, "minItems": 1}, f"a list of: {AXIS_RULE}; all if left out"),
    }
    return OpReader("Pad", parameters, read)


def _megengine_reader() -> OpReader:
    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(("pad_width", "mode", "constant_val"))
        mode = _MEGENGINE_MODES[values.choice("mode", _MEGENGINE_MODES, "constant")]
        pairs = as_list(values, "pad_width")
        rule = "at most 5 pairs [low, high], of N (0), C, D, H, W, each at least 0"
        if len(pairs) > 5:
            values.fail("pad_width", f"a list of {len(pairs)}", rule)
        amounts = []
        for pair in pairs:
            inner = Values({"pad_width": pair}, values.places, values.place, values.subject)
            if not isinstance(pair, list | tuple):
                values.fail("pad_width", describe(pair), rule)
            amounts.append(inner.integers("pad_width", 2, minimum=0))
        amounts += [(0, 0)] * (5 - len(pairs))
        if any(amounts[0]):
            values.fail("pad_width", f"{list(amounts[0])} along N", "0: volumes are not added")
        low, high = ([pair[side] for pair in amounts[1:]] for side in (0, 1))
        return _make(values, "pad_width", low, high, mode, values.number("constant_val", 0.0))

    pair = {"type": "array", "items": INT, "minItems": 2, "maxItems": 2}
    parameters = {
        "pad_width": described({"type": "array", "items": pair}, "pairs [low, high] of N (0), C, D, H, W"),
        "mode": described({"enum": list(_MEGENGINE_MODES)}, "`constant`, `reflect`, `replicate`, `edge`", "constant"),
        "constant_val": described(NUMBER, "the constant", 0.0),
    }
    return OpReader("Pad", parameters, read)

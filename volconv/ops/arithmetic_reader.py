"""Readers of Add, Sub, Mul and Div, which mean the same in every dialect."""

from __future__ import annotations

from ..values import Values
from .add import Add
from .affine import Affine
from .arithmetic import Arithmetic, find_spread
from .base import Op
from .reader import NUMBERS, Context, OpReader

_TWO = "2, as inputs: [A, B], or value:"
_MORE = "at least 2, as inputs: [A, B]"


def _reader(name: str, kind: str, most: int | None) -> OpReader:
    def read(values: Values, context: Context) -> Op:
        values.refuse_unknown(("value",))
        if "value" in values:
            return _with_value(kind, values, context)
        if len(context.inputs) == 1:
            values.fail("inputs" if "inputs" in values.places else None, "1 input", _MORE if most is None else _TWO)
        spread = find_spread(context.inputs)
        return Add() if kind == "add" and not spread else Arithmetic(kind, spread)

    return OpReader(name, {"value": NUMBERS}, read, inputs=(1, most), broadcast=True)


def _with_value(kind: str, values: Values, context: Context) -> Op:
    if len(context.inputs) > 1:
        values.fail("value", f"value beside {len(context.inputs)} inputs", "one input")
    raw = values.numbers("value")
    value = raw if isinstance(raw, tuple) else (raw,)
    if kind == "div":  # a product with the reciprocal would round twice
        return Arithmetic(kind, value=value)
    if kind == "mul":
        return Affine(value, (-0.0,))  # adding it keeps the sign of a zero
    return Affine((1.0,), value if kind == "add" else tuple(-v for v in value))


ARITHMETIC_READERS: dict[str, OpReader] = {
    "Add": _reader("Add", "add", None),
    "Sub": _reader("Sub", "sub", 2),
    "Mul": _reader("Mul", "mul", None),
    "Div": _reader("Div", "div", 2),
}

"""Add, Sub, Mul and Div as specs have them."""

import numpy as np
import pytest

import volconv
from volconv.dialects import dialect_names
from volconv.errors import SpecError
from volconv.graph.build import build_graph, make_loader
from volconv.ops.add import Add
from volconv.ops.affine import Affine
from volconv.ops.arithmetic import Arithmetic
from volconv.ops.base import Wire
from volconv.spec.load import load_spec_mapping

FIRST = {"op": "Identity", "name": "a"}


def build(*stages, dialect="torch", channels=2):
    spec = load_spec_mapping(
        {"volconv": 1, "dialect": dialect, "input": {"channels": channels}, "stages": list(stages)}
    )
    return build_graph(spec, Wire((4, 4, 4), channels), make_loader(spec)).nodes[-1]


@pytest.mark.parametrize("dialect", dialect_names())
def test_every_dialect_reads_the_same_operators(dialect):
    two = {"inputs": ["a", "input"]}
    assert build(FIRST, {"op": "Add", **two}, dialect=dialect).op == Add()
    for op in ("Sub", "Mul", "Div"):
        assert build(FIRST, {"op": op, **two}, dialect=dialect).op == Arithmetic(op.lower())
    assert build(FIRST, {"op": "Mul", "inputs": ["a", "a", "input"]}, dialect=dialect).op == Arithmetic("mul")


def test_a_value_stands_for_the_right_operand():
    assert build({"op": "Add", "value": 2}).op == Affine((1.0,), (2.0,))
    assert build({"op": "Sub", "value": [1, 2]}).op == Affine((1.0,), (-1.0, -2.0))
    assert build({"op": "Mul", "value": 2}).op == Affine((2.0,), (-0.0,))
    assert build({"op": "Div", "value": 2}).op == Arithmetic("div", value=(2.0,))


@pytest.mark.parametrize("value", [3.0, -0.5, 0.0, [7.0, -3.0]])
def test_a_value_gives_what_numpy_gives(value):
    x = np.array([[0.0, -0.0, 1.5, -2.0], [np.inf, -np.inf, np.nan, 1e-40]], np.float32).reshape(2, 1, 1, 4)
    v = np.asarray(value, np.float32).reshape(-1, 1, 1, 1)
    with np.errstate(all="ignore"):
        expected = {"Add": x + v, "Sub": x - v, "Mul": x * v, "Div": x / v}
    for op, wanted in expected.items():
        spec = {"volconv": 1, "input": {"channels": 2}, "stages": [{"op": op, "value": value}]}
        found = volconv.load(spec)(x)
        np.testing.assert_array_equal(found, wanted)
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(wanted)[numbers])


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"op": "Sub"}, r"found 1 input, expected 2, as inputs: \[A, B\], or value:"),
        ({"op": "Mul"}, r"found 1 input, expected at least 2, as inputs: \[A, B\]"),
        ({"op": "Div", "inputs": ["a", "a", "a"]}, "found 3 inputs, expected 1 to 2"),
        ({"op": "Div", "inputs": ["a", "input"], "value": 2}, "found value beside 2 inputs, expected one input"),
        ({"op": "Div", "value": "x"}, "value"),
        ({"op": "Div", "value": [1, 2, 3]}, "value of 3 numbers on 2 channels"),
        ({"op": "Mul", "other": 2}, "unknown key 'other'"),
    ],
)
def test_what_is_refused(stage, message):
    with pytest.raises((SpecError, ValueError), match=message):
        build(FIRST, stage)

"""The paddings in the words of each dialect."""

import pytest

from volconv.errors import SpecError
from volconv.graph.build import build_graph, make_loader
from volconv.ops.base import Wire
from volconv.ops.pad import Pad
from volconv.spec.load import load_spec_mapping

ALL_SIDES = Pad((0, 2, 2, 2), (0, 2, 2, 2))


def build(stage, dialect="torch"):
    spec = load_spec_mapping({"volconv": 1, "dialect": dialect, "input": {"channels": 2}, "stages": [stage]})
    return build_graph(spec, Wire((6, 7, 8), 2), make_loader(spec)).nodes[-1].op


def test_amounts_are_listed_from_the_last_axis_on():
    assert build({"op": "Pad", "padding": 2}) == ALL_SIDES
    assert build({"op": "Pad", "padding": [1, 2]}) == Pad((0, 0, 0, 1), (0, 0, 0, 2))
    assert build({"op": "Pad", "padding": [1, 2, 3, 4, 5, -6 + 1, 7, 8], "value": 0.5}) == Pad(
        (7, 5, 3, 1), (8, -5, 4, 2), value=0.5
    )
    assert build({"op": "Pad", "padding": [1, 2, 3, 4], "mode": "reflect"}) == Pad(
        (0, 0, 3, 1), (0, 0, 4, 2), "reflect"
    )


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("ConstantPad", "constant"), ("ZeroPad", "constant"), ("ReflectionPad", "reflect"),
     ("ReplicationPad", "replicate"), ("CircularPad", "circular")],
)  # fmt: skip
def test_layers(kind, mode):
    more = {"value": -1.5} if kind == "ConstantPad" else {}
    value = more.get("value", 0.0)
    six = build({"op": f"{kind}3d", "padding": [1, 2, 3, 4, 5, 0], **more})
    assert six == Pad((0, 5, 3, 1), (0, 0, 4, 2), mode, value)
    assert build({"op": f"{kind}3d", "padding": 2, **more}) == Pad((0, 2, 2, 2), (0, 2, 2, 2), mode, value)
    assert build({"op": f"{kind}2d", "padding": [1, 2, 3, 4], **more}) == Pad((0, 0, 3, 1), (0, 0, 4, 2), mode, value)
    assert build({"op": f"{kind}2d", "padding": 2, **more}) == Pad((0, 0, 2, 2), (0, 0, 2, 2), mode, value)


def test_lucid_has_some_of_the_layers():
    assert build({"op": "ReplicationPad3d", "padding": 2}, "lucid") == Pad((0, 2, 2, 2), (0, 2, 2, 2), "replicate")
    assert build({"op": "Pad", "padding": 2}, "lucid") == ALL_SIDES
    with pytest.raises(SpecError, match="found op 'CircularPad3d'"):
        build({"op": "CircularPad3d", "padding": 2}, "lucid")


def test_onnx_lists_lows_then_highs():
    whole = {"op": "Pad", "pads": [0, 1, 2, 3, 4, 0, 5, 6, 0, 1], "constant_value": 2}
    assert build(whole, "onnx") == Pad((1, 2, 3, 4), (5, 6, 0, 1), value=2.0)
    some = {"op": "Pad", "pads": [1, 2, 3, -4], "axes": [-1, 3], "mode": "edge"}
    assert build(some, "onnx") == Pad((0, 0, 2, 1), (0, 0, -4, 3), "replicate")
    for name, mode in (("reflect", "reflect"), ("wrap", "circular")):
        assert build({"op": "Pad", "pads": [1, 2], "axes": [2], "mode": name}, "onnx").mode == mode


def test_megengine_lists_pairs():
    pairs = [[0, 0], [0, 0], [1, 2], [3, 4]]
    assert build({"op": "Pad", "pad_width": pairs, "mode": "reflect"}, "megengine") == Pad(
        (0, 1, 3, 0), (0, 2, 4, 0), "reflect"
    )
    assert build({"op": "Pad", "pad_width": [[0, 0], [1, 1]], "constant_val": 3}, "megengine") == Pad(
        (1, 0, 0, 0), (1, 0, 0, 0), value=3.0
    )
    assert build({"op": "Pad", "pad_width": [[0, 0]] * 2 + [[1, 1]], "mode": "edge"}, "megengine").mode == "replicate"


@pytest.mark.parametrize(
    ("dialect", "stage", "message"),
    [
        ("torch", {"op": "Pad"}, "no padding"),
        ("torch", {"op": "Pad", "padding": [1, 2, 3]}, "a list of 3, expected a whole number or a list of 2 or 4 or 6"),
        ("torch", {"op": "Pad", "padding": [1] * 8, "mode": "reflect"}, "a list of 8, expected .* 4 or 6"),
        ("torch", {"op": "Pad", "padding": 1, "mode": "edge"}, "found 'edge', expected one of constant"),
        ("torch", {"op": "Pad", "padding": 1, "mode": "reflect", "value": 1}, "value in reflect mode"),
        ("torch", {"op": "Pad", "padding": [-1, 2, 0, 0, 0, 0], "mode": "circular"}, "at least 0 in circular mode"),
        ("torch", {"op": "ConstantPad3d", "padding": 1}, "no value"),
        ("torch", {"op": "ZeroPad3d", "padding": [1, 1]}, "a list of 2, expected a whole number or a list of 6"),
        ("torch", {"op": "ZeroPad3d", "padding": 1, "value": 2}, "unknown key 'value'"),
        ("onnx", {"op": "Pad", "pads": [1, 2, 3]}, "a list of 3, expected a list of 10"),
        ("onnx", {"op": "Pad", "pads": [1] * 10}, "found 1 and 1 along N, expected 0"),
        ("onnx", {"op": "Pad", "pads": [1] * 3, "axes": [2, 3]}, "a list of 3, expected a list of 4"),
        ("onnx", {"op": "Pad", "pads": [1, 1], "axes": [0]}, "axes: .*found 0"),
        ("megengine", {"op": "Pad", "pad_width": [[1, 1]]}, r"found \[1, 1\] along N"),
        ("megengine", {"op": "Pad", "pad_width": [[0, 0], 3]}, "found 3, expected at most 5 pairs"),
        ("megengine", {"op": "Pad", "pad_width": [[0, 0], [1, -1]]}, "at least 0"),
        ("megengine", {"op": "Pad", "pad_width": [[0, 0]] * 6}, "a list of 6, expected at most 5 pairs"),
    ],
)
def test_what_is_refused(dialect, stage, message):
    with pytest.raises(SpecError, match=message):
        build(stage, dialect)

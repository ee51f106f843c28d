"""Names, wiring and operator parameters of stages."""

from __future__ import annotations

import pytest

from volconv.errors import SpecError
from volconv.spec.load import load_spec_mapping, parse_spec


def _names(*stages):
    spec = load_spec_mapping(
        {"volconv": 1, "stages": [{"op": "A", **s} if isinstance(s, dict) else {"op": s} for s in stages]}
    )
    return [s.name for s in spec.stages]


def test_unnamed_stages_are_called_by_their_operator():
    assert _names("Conv3d", "ReLU", "Conv3d", "Conv3d", "ReLU") == ["Conv3d", "ReLU", "Conv3d_2", "Conv3d_3", "ReLU_2"]


def test_made_names_keep_clear_of_given_ones():
    assert _names("A", {"name": "A_2"}, "A", "A") == ["A", "A_2", "A_3", "A_4"]
    assert _names({"name": "A"}, "A") == ["A", "A_2"]
    assert _names("A", {"name": "B"}, "B", "A") == ["A", "B", "B_2", "A_2"]


@pytest.mark.parametrize("name", ["a", "0", "_x", "enc.0.conv", "A-b_c.9", "x" * 100])
def test_names(name):
    assert _names({"name": name}) == [name]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "\x1b[31m", "ä", "x" * 101, "input", 3, None, True, ["a"], "[b]x"],
)
def test_bad_names(name):
    with pytest.raises(SpecError, match=r"stages\[0\].name: found .*, expected (a|another) name") as caught:
        _names({"name": name})
    assert str(caught.value).isprintable()


def test_inputs():
    spec = parse_spec(
        "volconv: 1\n"
        "stages:\n"
        "  - {op: A, name: a}\n"
        "  - {op: B}\n"
        "  - {op: C, input: a}\n"
        "  - {op: D, inputs: [a, input, B, a]}\n"
        "  - {op: E, input: input}\n"
    )
    assert [s.inputs for s in spec.stages] == [("input",), ("a",), ("a",), ("a", "input", "B", "a"), ("input",)]
    assert spec.outputs == ("E",)


@pytest.mark.parametrize(
    ("stages", "place", "message"),
    [
        ("[]", "line 2, column 1: stages", "found no stages, expected at least one stage"),
        ("5", "line 2, column 1: stages", "expected a list of stages"),
        ("{op: A}", "line 2, column 1: stages", "found a mapping, expected a list of stages"),
        ("[A]", "line 2, column 10: stages[0]", "expected a stage: a mapping with the key op"),
        ("[{name: a}]", "line 2, column 10: stages[0]", "found a stage without op"),
        ("[{Op: A}]", "line 2, column 10: stages[0]", "did you mean 'Op'?"),
        ("[{op: 3}]", "line 2, column 11: stages[0].op", "expected an operator's name"),
        ("[{op: conv 3d}]", "line 2, column 11: stages[0].op", "expected an operator's name"),
        ("[{op: A, name: x}, {op: B, name: x}]", "stages[1].name", "the name 'x', which stages[0] has"),
        ("[{op: A, input: B}, {op: B}]", "stages[0].input", "'B', a later stage"),
        ("[{op: A, input: A}]", "stages[0].input", "'A', the stage itself"),
        ("[{op: A, name: smooth}, {op: B, input: smoth}]", "stages[1].input", "did you mean 'smooth'?"),
        ("[{op: A, inputs: [input, y]}]", "line 2, column 34: stages[0].inputs[1]", "no stage 'y'"),
        ("[{op: A, input: input, inputs: [input]}]", "stages[0].inputs", "input and inputs together"),
        ("[{op: A, inputs: []}]", "stages[0].inputs", "at least one stage name"),
        ("[{op: A, inputs: input}]", "stages[0].inputs", "expected a list of stage names"),
        ("[{op: A, input: [input]}]", "stages[0].input", "the name of an earlier stage"),
    ],
)
def test_faults(stages, place, message):
    with pytest.raises(SpecError) as caught:
        parse_spec(f"volconv: 1\nstages: {stages}\n", "s.yaml")
    assert place in str(caught.value)
    assert message in str(caught.value)


def test_a_ring_of_3000_stages_is_one_error():
    stages = "".join(f"  - {{op: A, name: s{i}, input: s{(i - 1) % 3000}}}\n" for i in range(3000))
    with pytest.raises(SpecError, match=r"line 3, column 23: stages\[0\].input: found 's2999', a later stage"):
        parse_spec(f"volconv: 1\nstages:\n{stages}", "s.yaml")


def test_operator_parameters_are_kept_as_written():
    stage = parse_spec(
        "volconv: 1\nstages:\n  - {op: A, stride: [1, 2, 3], x: null, sigma: 2mm, d: {'1': no}}\n"
    ).stages[0]
    assert stage.values == {"stride": [1, 2, 3], "x": None, "sigma": "2mm", "d": {"1": "no"}}
    assert (stage.places["stride"].line, stage.places["stride"].column) == (3, 13)
    assert stage.places["stride"].key == "stages[0].stride"

"""Declared parameters, settings that fit them or not, and the values put in for ``$name``."""

from __future__ import annotations

import numpy as np
import pytest

from volconv.errors import SpecError, UsageError
from volconv.spec.load import load_spec_mapping, parse_spec
from volconv.spec.parameters import put_settings
from volconv.values import Length

MM = "mm"


def _declare(entry, name="p"):
    return parse_spec(f"volconv: 1\nparameters:\n  {name}: {entry}\nstages: [{{op: A}}]\n", "s.yaml").parameters


def _set(entry, value):
    return put_settings(_declare(entry), {"p": value}, "s.yaml")["p"]


@pytest.mark.parametrize(
    ("entry", "default"),
    [
        ("{default: 1.5, unit: mm}", Length(1.5, "mm")),
        ("{default: 2, unit: voxel}", Length(2.0, "voxel")),
        ("{default: 2voxel, unit: mm}", Length(2.0, "voxel")),
        ("{default: [1, 2mm, 3 voxels], unit: mm}", [Length(1.0, "mm"), Length(2.0, "mm"), Length(3.0, "voxel")]),
        ("{default: 3}", 3),
        ("{default: -1.5, min: -2, max: 0}", -1.5),
        ("{default: [0, 1], min: 0}", [0, 1]),
        ("{default: true}", True),
        ("{default: no}", "no"),
        ("{default: ReLU, help: text}", "ReLU"),
    ],
)
def test_defaults(entry, default):
    assert _declare(entry)["p"].default == default


@pytest.mark.parametrize(
    ("entry", "key", "message"),
    [
        ("5", "parameters.p", "expected a mapping such as {default: 1.5, unit: mm}"),
        ("{unit: mm}", "parameters.p", "found no default"),
        ("{default: 1, unti: mm}", "parameters.p.unti", "did you mean 'unit'?"),
        ("{default: 1, unit: cm}", "parameters.p.unit", "expected one of mm, voxel"),
        ("{default: x, unit: mm}", "parameters.p.default", "found 'x', expected a length such as 2mm"),
        ("{default: true, unit: mm}", "parameters.p.default", "found true"),
        ("{default: {a: 1}, unit: mm}", "parameters.p.default", "expected a length"),
        ("{default: [[1]], unit: mm}", "parameters.p.default", "expected a length"),
        ("{default: [], unit: mm}", "parameters.p.default", "an empty list"),
        ("{default: null}", "parameters.p.default", "found nothing"),
        ("{default: {a: 1}}", "parameters.p.default", "found a mapping"),
        ("{default: [a]}", "parameters.p.default", "a list of 1"),
        ("{default: 1, min: 2}", "parameters.p.default", "found 1, expected at least 2"),
        ("{default: 1, max: 0.5, unit: mm}", "parameters.p.default", "expected at most 0.5mm"),
        ("{default: 1, min: 2mm}", "parameters.p.min", "expected a number"),
        ("{default: 1, min: true}", "parameters.p.min", "expected a number"),
        ("{default: 1, min: 3, max: 2}", "parameters.p.min", "expected at most max = 2"),
        ("{default: a, min: 3}", "parameters.p.default", "has min or max"),
        ("{default: 1, help: 2}", "parameters.p.help", "expected text"),
        ("{default: 1e999mm, unit: mm}", "parameters.p.default", "expected a length"),
    ],
)
def test_bad_declarations(entry, key, message):
    with pytest.raises(SpecError) as caught:
        _declare(entry)
    assert str(caught.value).startswith("s.yaml: line 3, column ")
    assert f": {key}: found " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["'a b'", "1a", "'$a'", "a-b", "''", "ä", "x" * 65, '"a\\n"'])
def test_bad_parameter_names(name):
    with pytest.raises(SpecError, match="the parameter name"):
        _declare("{default: 1}", name)


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("{default: 1, unit: mm}", 2, Length(2.0, MM)),
        ("{default: 1, unit: mm}", "2mm", Length(2.0, MM)),
        ("{default: 1, unit: mm}", "2 voxels", Length(2.0, "voxel")),
        ("{default: 1, unit: mm}", Length(3, MM), Length(3, MM)),
        ("{default: 1, unit: mm}", (1, 2, "3mm"), [Length(1.0, MM), Length(2.0, MM), Length(3.0, MM)]),
        ("{default: 1, unit: mm}", np.float32(0.5), Length(0.5, MM)),
        ("{default: 1, unit: mm}", np.array([1.0, 2.0, 3.0]), [Length(1.0, MM), Length(2.0, MM), Length(3.0, MM)]),
        ("{default: 1, unit: mm, min: 5}", "2voxel", Length(2.0, "voxel")),
        ("{default: 1}", 0.5, 0.5),
        ("{default: 1.0}", 2, 2),
        ("{default: 1}", [1, 2, 3], [1, 2, 3]),
        ("{default: hw}", "dh", "dh"),
        ("{default: true}", False, False),
    ],
)
def test_settings_that_fit(entry, value, expected):
    if "min: 5" in entry:
        entry = entry.replace("default: 1", "default: 9")
    assert _set(entry, value) == expected


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("{default: 1, unit: mm}", "wide", "found 'wide', expected a length such as 2mm"),
        ("{default: 1, unit: mm}", "2cm", "found '2cm'"),
        ("{default: 1, unit: mm}", "2", "found '2'"),
        ("{default: 1, unit: mm}", True, "found true"),
        ("{default: 1, unit: mm}", None, "found nothing"),
        ("{default: 1, unit: mm}", [1, [2]], "expected a length"),
        ("{default: 1, unit: mm, min: 0.5}", 0.1, "found 0.1, expected at least 0.5mm"),
        ("{default: 1, unit: mm, min: 0.5}", "0.1mm", "expected at least 0.5mm"),
        ("{default: 1, unit: mm, min: 0}", "-1voxel", "not negative"),
        ("{default: 1, unit: mm, max: 3}", [1, 2, 4], "expected at most 3mm"),
        ("{default: 1, unit: mm}", float("nan"), "expected a finite number"),
        ("{default: 1, unit: mm}", [1.0, float("inf")], "expected a finite number"),
        ("{default: 1, unit: mm}", Length(float("nan"), MM), "expected a length"),
        ("{default: 1, unit: mm}", "1e999mm", "expected a length"),
        ("{default: 1}", "2mm", "found '2mm', expected a number without a unit"),
        ("{default: 1}", Length(2, MM), "a number without a unit"),
        ("{default: 1}", "two", "found 'two', expected a number"),
        ("{default: 1}", {"a": 1}, "a mapping"),
        ("{default: 1}", [], "an empty list"),
        ("{default: 1}", object(), "an object of type object"),
        ("{default: hw}", 3, "found 3, expected text"),
        ("{default: hw}", ["a"], "a list of 1, expected text"),
        ("{default: true}", 1, "found 1, expected true or false"),
    ],
)
def test_settings_that_do_not_fit(entry, value, message):
    with pytest.raises(UsageError) as caught:
        _set(entry, value)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith("s.yaml: parameter p: found ")
    assert message in str(caught.value)


def test_unknown_settings_name_the_nearest_parameter():
    parameters = _declare("{default: 1}", "sigma")
    with pytest.raises(UsageError, match=r"found no parameter 'sgima', expected one of sigma; did you mean 'sigma'\?"):
        put_settings(parameters, {"sgima": 2})
    with pytest.raises(UsageError, match="this spec has no parameters"):
        put_settings({}, {"sigma": 2})


def test_references_stand_for_whole_values_anywhere_in_a_stage():
    spec = parse_spec(
        "volconv: 1\n"
        "parameters: {s: {default: 2}, w: {default: 3, unit: mm}, mode: {default: reflect}, on: {default: false}}\n"
        "stages:\n"
        "  - {op: Conv3d, stride: [$s, 1, $s], padding_mode: $mode, bias: $on,\n"
        "     weight: {generator: gaussian, sigma: [$w, 1, 2mm]}, tensors: {mean: [[$s]]}}\n"
        "  - {op: A, weight: {file: w.npz, key: $mode}, bias: {init: default, seed: $s}, deep: {a: {b: [$w]}}}\n",
        "s.yaml",
        settings={"s": 5, "w": "4voxel"},
    )
    first, second = spec.stages
    assert first.values == {"stride": [5, 1, 5], "padding_mode": "reflect", "bias": False}
    assert first.tensors["weight"].values == {"sigma": [Length(4.0, "voxel"), 1, "2mm"]}
    assert first.tensors["mean"].values == [[5]]
    assert (second.tensors["weight"].key, second.tensors["bias"].seed) == ("reflect", 5)
    assert second.values["deep"] == {"a": {"b": [Length(4.0, "voxel")]}}
    assert spec.settings == {"s": 5, "w": Length(4.0, "voxel"), "mode": "reflect", "on": False}


@pytest.mark.parametrize("text", ["$sgima", "$", "$sigma + 1", "${sigma}", "$$sigma"])
def test_references_to_nothing(text):
    spec = f"volconv: 1\nparameters: {{sigma: {{default: 1}}}}\nstages:\n  - op: A\n    x: [1, '{text}']\n"
    with pytest.raises(SpecError, match=r"line 5, column 12: stages\[0\].x\[1\]: found no parameter .* one of \$sigma"):
        parse_spec(spec, "s.yaml")


def test_references_to_nothing_name_the_nearest_as_it_is_written():
    spec = "volconv: 1\nparameters: {sigma: {default: 1}}\nstages: [{op: A, x: $sigm}]\n"
    with pytest.raises(SpecError, match=r"expected one of \$sigma; did you mean '\$sigma'\?"):
        parse_spec(spec, "s.yaml")


def test_names_and_wires_are_fixed():
    for key in ("op", "name", "input"):
        with pytest.raises(SpecError, match="expected"):
            load_spec_mapping({"volconv": 1, "parameters": {"x": {"default": "A"}}, "stages": [{"op": "A", key: "$x"}]})

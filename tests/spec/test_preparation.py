"""What ``input:`` and ``output:`` say about the time before and after the stages, and every fault at its place."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator, ValidationError
from ruamel.yaml import YAML

from volconv.errors import SpecError, UsageError
from volconv.preparation import MinMax, Percentile, Preparation, Rescale, Window, ZScore
from volconv.spec.load import parse_spec
from volconv.spec.schema import make_schema

HEAD = "volconv: 1\nparameters: {s: {default: 1.5, unit: mm}, t: {default: 3}}\nstages: [{op: ReLU}]\n"
VALIDATOR = Draft202012Validator(make_schema({"ReLU": {}}, {}))


def parse(text: str, **settings: object) -> Preparation:
    return parse_spec(HEAD + text, "s.yaml", settings=settings).input.preparation


def is_valid(text: str) -> bool:
    try:
        VALIDATOR.validate(YAML(typ="safe", pure=True).load(HEAD + text))
    except ValidationError:
        return False
    return True


def test_nothing_is_asked_for_by_default() -> None:
    assert parse("") == Preparation()
    assert parse("input: {channels: 2}\noutput: {}").is_nothing
    assert parse("input: {order: 3}").is_nothing
    assert not parse("output: {space: input}").is_nothing


def test_all_keys() -> None:
    text = (
        "input: {orientation: LPI, spacing: [1, 2mm, $s], order: 3, mask: sub/m.nii.gz, pad_multiple: 16, intensity: ["
        "{percentile: [2, 98], eps: 0.001}, {zscore: {above: $t}}, {zscore: {}}, {minmax: [-1, 1]}, "
        "{window: [-160, 240]}, {affine: {scale: 0.5}}]}\noutput: {space: input}"
    )
    assert parse(text) == Preparation(
        "LPI",
        (1.0, 2.0, 1.5),
        3,
        (Percentile(2, 98, 0.001), ZScore(3), ZScore(), MinMax(-1, 1), Window(-160, 240), Rescale(0.5, 0)),
        16,
        True,
    )
    assert parse(text, s=4).spacing_mm == (1, 2, 4)
    assert is_valid(text)
    mask = parse_spec(HEAD + text, "s.yaml").input.mask
    assert mask is not None
    assert mask.file == "sub/m.nii.gz"
    assert mask.place.line == 4


FAULTS = [
    ("input: {orientation: RAX}", "input.orientation: found 'RAX', expected three letters"),
    ("input: {orientation: RLS}", "input.orientation"),
    ("input: {orientation: ras}", "input.orientation"),
    ("input: {spacing: 1}", "input.spacing: found 1, expected three lengths D, H, W in mm"),
    ("input: {spacing: [1, 1]}", "input.spacing: found a list of 2"),
    ("input: {spacing: [1, 0, 1]}", "input.spacing[1]: found 0, expected a length in mm above 0"),
    ("input: {spacing: [1, 1voxel, 1]}", "input.spacing[1]: found '1voxel', expected a length in mm"),
    ("input: {spacing: [1, 1, true]}", "input.spacing[2]"),
    ("input: {order: 6}", "input.order: found 6, expected a whole number from 0 to 5"),
    ("input: {order: 1.0}", "input.order"),
    ("input: {mask: /m.nii}", "input.mask: found '/m.nii', expected a path relative to the spec's folder"),
    ("input: {mask: ../m.nii}", "input.mask"),
    ("input: {pad_multiple: 0}", "input.pad_multiple: found 0"),
    ("input: {intensity: zscore}", "input.intensity: found 'zscore', expected a list of steps"),
    ("input: {intensity: [zscore]}", "input.intensity[0]: found 'zscore', expected a step: one of zscore"),
    ("input: {intensity: [{}]}", "input.intensity[0]: found an empty step"),
    ("input: {intensity: [{zcore: {}}]}", "input.intensity[0].zcore: found the step 'zcore', expected one of zscore"),
    ("input: {intensity: [{zscore: {over: 1}}]}", "input.intensity[0].zscore.over: found unknown key 'over'"),
    ("input: {intensity: [{zscore: {above: a}}]}", "input.intensity[0].zscore.above: found 'a', expected a number"),
    ("input: {intensity: [{minmax: [0, 1], eps: 1}]}", "input.intensity[0].eps: found unknown key 'eps'"),
    ("input: {intensity: [{minmax: [0, 1], zscore: {}}]}", "found zscore beside minmax"),
    ("input: {intensity: [{minmax: [1, 0]}]}", "input.intensity[0].minmax: found 1 and 0"),
    ("input: {intensity: [{percentile: [2]}]}", "input.intensity[0].percentile: found a list of 1"),
    ("input: {intensity: [{percentile: [2, 101]}]}", "from 0 to 100"),
    ("input: {intensity: [{percentile: [2, 98], eps: -1}]}", "input.intensity[0].eps: found -1"),
    ("input: {intensity: [{window: [1, 1]}]}", "input.intensity[0].window"),
    ("input: {intensity: [{affine: {scale: 1e39}}]}", "a number that float32 can hold"),
    ("input: {intensity: [{affine: 2}]}", "input.intensity[0].affine: found 2, expected a mapping"),
    ("output: {space: world}", "output.space: found 'world', expected one of input"),
    ("output: {spcae: input}", "output.spcae: found unknown key 'spcae', expected one of space; did you mean 'space'?"),
    ("output: input", "output: found 'input', expected a mapping such as {space: input}"),
    ("input: {spacing: [1, 1, $u]}", "input.spacing[2]: found no parameter '$u'"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_every_fault_is_named_at_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("s.yaml: line 4, column ")


SEMANTIC = {
    "order: 1.0",
    "minmax: [1, 0]",
    "window: [1, 1]",
    "/m.nii",
    "../m.nii",
    "1voxel",
    "$u",
    "1e39",
    "[1, 0, 1]",
    "minmax: [0, 1], z",
}


@pytest.mark.parametrize("text", [text for text, _ in FAULTS if not any(part in text for part in SEMANTIC)])
def test_the_schema_refuses_what_the_reader_refuses(text: str) -> None:
    assert not is_valid(text)


def test_a_setting_that_does_not_fit_is_the_callers() -> None:
    with pytest.raises(UsageError, match="parameter t"):
        parse("input: {intensity: [{zscore: {above: $t}}]}", t="x")

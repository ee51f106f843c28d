"""The format's top level: versions, sections, outputs, and keys of the format this version does not carry out."""

from __future__ import annotations

import hashlib

import pytest

from volconv.errors import SpecError
from volconv.spec.load import parse_spec
from volconv.spec.model import WeightsFile

STAGES = "stages: [{op: A, name: a}, {op: B, name: b}]\n"


def _parse(top, version="volconv: 1\n"):
    return parse_spec(version + STAGES + top, "s.yaml")


def test_defaults():
    spec = _parse("")
    assert (spec.name, spec.dialect, spec.dtype, spec.description) == ("s", "torch", "float32", "")
    assert (spec.input.channels, spec.input.axes, spec.weights, spec.outputs) == (1, "kji", None, ("b",))
    assert spec.text == "volconv: 1\n" + STAGES
    assert spec.digest == hashlib.sha256(spec.text.encode()).hexdigest()


def test_everything_given():
    spec = _parse(
        "name: n\ndescription: d\ndialect: torch\ndtype: float64\ninput: {channels: 4, axes: ijk}\n"
        "weights: {file: w.npz, prefix: model., layout: torch}\noutputs: [b, a]\n"
    )
    assert (spec.name, spec.description, spec.dtype, spec.outputs) == ("n", "d", "float64", ("b", "a"))
    assert (spec.input.channels, spec.input.axes) == (4, "ijk")
    assert spec.weights == WeightsFile("w.npz", "model.", "torch", spec.weights.place)
    assert _parse("weights: sub/w.safetensors\n").weights.file == "sub/w.safetensors"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("", "found a spec without the key volconv, expected the format's version, volconv: 1"),
        ("volconf: 1\n", "did you mean 'volconf'?"),
        ("volconv: true\n", "found true, expected the format's version, volconv: 1"),
        ("volconv: 1.0\n", "found 1.0, expected the format's version"),
        ("volconv: '1'\n", "found '1', expected the format's version"),
        ("volconv:\n", "found nothing, expected the format's version"),
        ("volconv: 0\n", "found 0, expected the format's version"),
        ("volconv: 2\n", "found format version 2, expected volconv: 1; a newer volconv reads this file"),
        ("volconv: [1]\n", "found a list of 1"),
    ],
)
def test_version(version, message):
    with pytest.raises(SpecError) as caught:
        _parse("brand_new: {keys: 1}\n", version)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("top", "place", "message"),
    [
        ("stagse: 1\n", "line 3, column 1: stagse", "found unknown key 'stagse', expected one of volconv"),
        ("ouputs: [a]\n", "line 3, column 1: ouputs", "did you mean 'outputs'?"),
        ('"\\e[31m": 1\n', "\\x1b[31m", "found unknown key"),
        ("name: 3\n", "name", "expected a name"),
        ("name: ''\n", "name", "found no text"),
        ("description: [x]\n", "description", "expected text"),
        ("dialect: pytorch\n", "dialect", "did you mean 'torch'?"),
        ("dtype: float\n", "dtype", "expected one of float32, float64"),
        ("dtype: 32\n", "dtype", "expected one of float32, float64"),
        ("input: 3\n", "input", "a mapping such as {channels: 1}"),
        ("input: {chanels: 3}\n", "line 3, column 9: input.chanels", "did you mean 'channels'?"),
        ("input: {channels: 0}\n", "input.channels", "a whole number from 1"),
        ("input: {channels: true}\n", "input.channels", "found true"),
        ("input: {channels: 1000000000}\n", "input.channels", "a whole number from 1"),
        ("input: {axes: jki}\n", "input.axes", "expected one of kji, ijk"),
        ("weights: 3\n", "weights", "a path, or a mapping with the key file"),
        ("weights: /abs.npz\n", "weights", "found '/abs.npz', expected a path relative"),
        ("weights: {prefix: x}\n", "weights", "found no file"),
        ("weights: {file: ../w}\n", "weights.file", "expected a path relative"),
        ("weights: {file: w, prefix: 3}\n", "weights.prefix", "the beginning of keys"),
        ("outputs: []\n", "outputs", "at least one stage name"),
        ("outputs: b\n", "outputs", "expected a list of stage names"),
        ("outputs: [a, a]\n", "outputs[1]", "every output once"),
        ("outputs: [bb]\n", "line 3, column 11: outputs[0]", "found no stage 'bb', expected one of a, b"),
        ("outputs: [input]\n", "outputs[0]", "the volume itself"),
        ("outputs: [../a]\n", "outputs[0]", "a name of at most 100 letters"),
        ("parameters: [a]\n", "parameters", "a mapping of parameters"),
    ],
)
def test_faults(top, place, message):
    with pytest.raises(SpecError) as caught:
        _parse(top)
    assert str(caught.value).startswith("s.yaml: line 3, column ")
    assert place in str(caught.value)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["5", "text", "[1, 2]", "- {op: A}", "null", "~"])
def test_no_mapping_at_all(text):
    with pytest.raises(SpecError, match="expected a spec: a mapping"):
        parse_spec(text, "s.yaml")


def test_outputs_that_differ_in_case_would_share_a_file():
    with pytest.raises(SpecError, match=r"outputs\[1\]: found 'A' beside 'a'"):
        parse_spec("volconv: 1\nstages: [{op: X, name: a}, {op: X, name: A}]\noutputs: [a, A]\n")

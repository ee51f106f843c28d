"""All forms of ``weight:``, ``bias:`` and ``tensors:``."""

from __future__ import annotations

import pytest

from volconv.errors import SpecError
from volconv.spec.load import parse_spec
from volconv.spec.model import FileSource, GeneratorSource, InitSource, InlineSource, KeySource


def _stage(line):
    return parse_spec(f"volconv: 1\nstages:\n  - {{op: Conv3d, {line}}}\n", "s.yaml").stages[0]


def test_every_form():
    stage = _stage(
        "weight: enc.0.weight, bias: {file: a/b.npz, key: k}, tensors: {running_mean: [0, 1.5], running_var: "
        "{init: default, seed: 7}, extra: {file: x.npy}, scale: 2}"
    )
    tensors = stage.tensors
    assert tensors["weight"] == KeySource("enc.0.weight", tensors["weight"].place)
    assert tensors["bias"] == FileSource("a/b.npz", "k", tensors["bias"].place)
    assert tensors["running_mean"] == InlineSource([0, 1.5], tensors["running_mean"].place)
    assert tensors["running_var"] == InitSource("default", 7, tensors["running_var"].place)
    assert tensors["extra"] == FileSource("x.npy", None, tensors["extra"].place)
    assert tensors["scale"] == InlineSource(2, tensors["scale"].place)
    assert tensors["extra"].place.key == "stages[0].tensors.extra"
    assert stage.values == {}


def test_a_generator_keeps_its_parameters_and_their_places():
    source = _stage("weight: {generator: gabor, sigma: 2mm, theta: 0.5}").tensors["weight"]
    assert isinstance(source, GeneratorSource)
    assert source.name == "gabor"
    assert source.values == {"sigma": "2mm", "theta": 0.5}
    assert source.places["sigma"].key == "stages[0].weight.sigma"
    assert (source.places["theta"].line, source.places["theta"].column) == (3, 57)


@pytest.mark.parametrize("flag", ["true", "false"])
def test_a_boolean_bias_is_an_operator_parameter(flag):
    stage = _stage(f"bias: {flag}")
    assert stage.values == {"bias": flag == "true"}
    assert stage.tensors == {}


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("weight: true", "weight", "found true, expected a key, nested numbers, or a mapping"),
        ("weight: null", "weight", "found nothing"),
        ("weight: ''", "weight", "a tensor's key of 1 to 1024 characters"),
        ("weight: {}", "weight", "found a mapping of nothing"),
        ("weight: {key: k}", "weight", "found a mapping of key"),
        ("weight: {file: a.npz, generator: mean}", "weight", "found file and generator together"),
        ("weight: {file: a.npz, kye: k}", "weight.kye", "did you mean 'key'?"),
        ("weight: {file: 3}", "weight.file", "expected a path"),
        ("weight: {file: ../a.npz}", "weight.file", "expected a path relative to the spec's folder"),
        ("weight: {file: /etc/passwd}", "weight.file", "expected a path relative"),
        ("weight: {generator: 3}", "weight.generator", "the name of a generator"),
        ("weight: {init: default}", "weight", "found no seed"),
        ("weight: {init: kaiming, seed: 0}", "weight.init", "expected one of default"),
        ("weight: {init: default, seed: -1}", "weight.seed", "a whole number from 0"),
        ("weight: {init: default, seed: 1.0}", "weight.seed", "a whole number from 0"),
        ("weight: {init: default, seed: 0, gain: 2}", "weight.gain", "unknown key 'gain'"),
        ("weight: []", "weight", "no empty lists"),
        ("weight: [[1, 2], [3]]", "weight", "found a list of 1, expected a list of 2"),
        ("weight: [[1, 2], 3]", "weight", "found 3, expected a list of 2"),
        ("weight: [1, [2]]", "weight", "found a list of 1, expected a number"),
        ("weight: [1, true]", "weight", "found true, expected a number"),
        ("weight: [1, x]", "weight", "found 'x', expected a number"),
        ("weight: [1, 2mm]", "weight", "found '2mm', expected a number"),
        ("weight: [[[[[[[[[1]]]]]]]]]", "weight", "nested at most 8 deep"),
        ("tensors: [1]", "tensors", "a mapping of tensors"),
        ("tensors: {a: false}", "tensors.a", "found false"),
        ("weight: a, tensors: {weight: b}", "tensors.weight", "weight a second time"),
    ],
)
def test_faults(line, key, message):
    with pytest.raises(SpecError) as caught:
        _stage(line)
    assert str(caught.value).startswith("s.yaml: line 3, column ")
    assert f": stages[0].{key}: found " in str(caught.value)
    assert message in str(caught.value)


def test_the_element_at_fault_is_the_place():
    with pytest.raises(SpecError, match="line 4, column 9"):
        _stage("weight: [[1, 2],\n    [3, x]]")

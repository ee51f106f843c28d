"""The JSON Schema is one, accepts what the reader accepts, and refuses what it refuses."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from volconv.errors import VolconvError
from volconv.ops.dialects.torch import DIALECT
from volconv.spec.load import parse_spec
from volconv.spec.presets import preset_names, preset_text
from volconv.spec.schema import make_schema
from volconv.weights.generators import generator_schemas

SCHEMA = make_schema({name: reader.parameters for name, reader in DIALECT.readers.items()}, generator_schemas())
VALIDATOR = Draft202012Validator(SCHEMA)
HEAD = "volconv: 1\nparameters: {s: {default: 1}}\n"


def _load(text):
    return YAML(typ="safe", pure=True).load(text)


def test_is_a_schema_and_json():
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def _described(schema):
    return "description" in schema or "$ref" in schema


def test_every_key_is_described():
    kinds = ("operator", "use", "group", "block", "parameter")
    for properties in (SCHEMA["properties"], *(SCHEMA["$defs"][kind]["properties"] for kind in kinds)):
        assert all(_described(schema) for key, schema in properties.items() if key != "op")


@pytest.mark.parametrize("name", preset_names())
def test_presets(name):
    VALIDATOR.validate(_load(preset_text(name)))


GOOD = [
    "stages: [{op: ReLU}]",
    "name: n\ndescription: d\ndialect: torch\ndtype: float64\nstages: [{op: ReLU, name: a}]\noutputs: [a]",
    "input: {channels: 3, axes: ijk}\nstages: [{op: Identity}]",
    "input: {}\nstages: [{op: Identity, input: input}]",
    "weights: w.npz\nstages: [{op: Conv3d, stride: 2, padding: [1, 1, 1], padding_mode: reflect}]",
    "weights: {file: w.npz, prefix: m., layout: torch}\nstages: [{op: Conv3d, kernel_size: 3}]",
    "stages: [{op: Conv3d, padding: same, weight: key, bias: false}]",
    "stages: [{op: Conv3d, weight: [[[[[1, 2.5]]]]], bias: [1]}]",
    "stages: [{op: Conv3d, weight: [[[[[$s, 2.5]]]]], bias: true, stride: $s, dilation: [1, $s, 1]}]",
    "stages: [{op: Conv3d, weight: {file: w.npz, key: k}, bias: {file: b.npy}}]",
    "stages: [{op: Conv3d, weight: {generator: gaussian, sigma: 2mm, order: [0, 0, 1]}}]",
    "stages: [{op: Conv3d, weight: {generator: gaussian, sigma: [1, $s, 2mm], truncate: $s}}]",
    "stages: [{op: Conv3d, weight: {generator: laws, code: $s}}]",
    "stages: [{op: Conv3d, weight: {generator: sobel}}]",
    "stages: [{op: Conv3d, weight: {init: default, seed: 3}, tensors: {other: [1, 2]}}]",
    "stages: [{op: PReLU, weight: 0.25}]",
    "stages: [{op: Affine, scale: [1, 2], shift: 0}]",
    "stages: [{op: A, name: a}, {op: ReLU, inputs: [a, input]}]".replace("op: A", "op: Abs"),
    "stages: [{op: GELU, approximate: tanh}]",
    "stages: [{name: g, repeat: 2, stages: [{op: ReLU}]}, {repeat: {d: [1, 2]}, stages: [{op: Clip, min: $d}]}]",
    "blocks: {b: {parameters: {p: {}, q: {default: 1}}, inputs: [x, y], stages: [{op: Add, inputs: [x, y]}]}}\n"
    "stages: [{block: b, name: n, inputs: [input, input], p: 3, repeat: 2}]",
]
BAD = [
    "",
    "stages: []",
    "stages: {op: ReLU}",
    "stages: [ReLU]",
    "stages: [{name: a}]",
    "stage: [{op: ReLU}]",
    "stages: [{op: ReLU}]\noutput: {space: input}",
    "stages: [{op: ReLU}]\nname: 3",
    "stages: [{op: ReLU}]\ndescription: [a]",
    "stages: [{op: ReLU}]\ndialect: keras",
    "stages: [{op: ReLU}]\ndtype: float8",
    "stages: [{op: ReLU}]\ninput: {channels: 0}",
    "stages: [{op: ReLU}]\ninput: {channels: true}",
    "stages: [{op: ReLU}]\ninput: {spacing: 1}",
    "stages: [{op: ReLU}]\nweights: {prefix: a}",
    "stages: [{op: ReLU}]\nweights: 3",
    "stages: [{op: ReLU, name: a}]\noutputs: a",
    "stages: [{op: ReLU, name: a}]\noutputs: []",
    "stages: [{op: ReLU, name: a}]\noutputs: [a, a]",
    "stages: [{op: ReLU, name: input}]",
    "stages: [{op: ReLU, name: a/b}]",
    "stages: [{op: ReLU, input: input, inputs: [input]}]",
    "stages: [{op: ReLU, inputs: []}]",
    "stages: [{op: Conv3d, weight: true}]",
    "stages: [{op: Conv3d, weight: []}]",
    "stages: [{op: Conv3d, weight: [1, true]}]",
    "stages: [{op: Conv3d, weight: {}}]",
    "stages: [{op: Conv3d, weight: {key: k}}]",
    "stages: [{op: Conv3d, weight: {file: a, generator: mean}}]",
    "stages: [{op: Conv3d, weight: {init: default}}]",
    "stages: [{op: Conv3d, weight: {init: kaiming, seed: 0}}]",
    "stages: [{op: Conv3d, weight: {init: default, seed: -1}}]",
    "stages: [{op: Conv3d, tensors: [1]}]",
    "stages: [{repeat: 2}]",
    "stages: [{repeat: 0, stages: [{op: ReLU}]}]",
    "stages: [{repeat: {}, stages: [{op: ReLU}]}]",
    "stages: [{stages: [{op: ReLU}], kernel_size: 3}]",
    "stages: [{stages: [], name: a}]",
    "blocks: {b: {}}\nstages: [{op: ReLU}]",
    "blocks: {b: {stages: [{op: ReLU}], input: a}}\nstages: [{op: ReLU}]",
]
# What only the operators and generators know; the reader keeps such values as they are.
BEYOND = [
    "stages: [{op: Relu}]",
    "stages: [{op: ReLU, slope: 1}]",
    "stages: [{op: Conv3d, strde: 2}]",
    "stages: [{op: Conv3d, stride: two}]",
    "stages: [{op: Conv3d, padding_mode: mirror}]",
    "stages: [{op: Conv3d, weight: {generator: gauss, sigma: 1}}]",
    "stages: [{op: Conv3d, weight: {generator: gaussian, sigm: 1}}]",
    "stages: [{op: Conv3d, weight: {generator: gaussian, sigma: 2cm}}]",
    "stages: [{op: GELU, approximate: fast}]",
]
# Names that must exist, and paths: a schema cannot say them.
ONLY_READER = [
    "stages: [{op: ReLU, input: nowhere}]",
    "stages: [{op: ReLU}, {op: ReLU, name: a}, {op: ReLU, name: a}]",
    "stages: [{op: ReLU}]\noutputs: [b]",
    "stages: [{op: ReLU}]\nweights: /etc/passwd",
    "stages: [{op: Clip, min: $nothing}]",
    "stages: [{block: b}]",
    "stages: [{op: Conv3d, weight: [[1], [1, 2]]}]",
]


def _reads(text):
    try:
        parse_spec(text, "s.yaml")
    except VolconvError:
        return False
    return True


@pytest.mark.parametrize("text", GOOD)
def test_both_accept(text):
    assert _reads(HEAD + text)
    VALIDATOR.validate(_load(HEAD + text))


@pytest.mark.parametrize("text", BAD)
def test_both_refuse(text):
    assert not _reads(HEAD + text)
    assert not VALIDATOR.is_valid(_load(HEAD + text))


@pytest.mark.parametrize("text", BEYOND)
def test_the_schema_knows_operators_and_generators(text):
    assert _reads(HEAD + text)
    assert not VALIDATOR.is_valid(_load(HEAD + text))


@pytest.mark.parametrize("text", ONLY_READER)
def test_the_reader_knows_names_and_paths(text):
    assert not _reads(HEAD + text)
    assert VALIDATOR.is_valid(_load(HEAD + text))


@pytest.mark.parametrize("version", ["true", "2", "'1'", "null"])
def test_versions(version):
    text = f"volconv: {version}\nstages: [{{op: ReLU}}]"
    assert not _reads(text)
    assert not VALIDATOR.is_valid(_load(text))


@pytest.mark.parametrize(
    ("entry", "valid"),
    [
        ("{default: 1, unit: mm, min: 0, max: 3, help: h}", True),
        ("{default: 2mm, unit: mm}", True),
        ("{default: [1, 2mm], unit: voxel}", True),
        ("{default: true}", True),
        ("{unit: mm}", False),
        ("{default: 1, unit: cm}", False),
        ("{default: 1, min: 1mm}", False),
        ("{default: null}", False),
        ("{default: {a: 1}}", False),
        ("{default: 1, unti: mm}", False),
        ("5", False),
    ],
)
def test_parameters(entry, valid):
    text = f"volconv: 1\nparameters: {{p: {entry}}}\nstages: [{{op: ReLU}}]"
    assert _reads(text) == valid
    assert VALIDATOR.is_valid(_load(text)) == valid

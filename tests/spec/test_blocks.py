"""Blocks: declared, used, written in place, repeated; the stages they become and the faults they can have."""

from __future__ import annotations

import pytest

from volconv.errors import SpecError
from volconv.spec.blocks import MAX_STAGES
from volconv.spec.load import parse_spec

HEAD = "volconv: 1\n"
UNET = """
parameters:
  width: {default: 8}
blocks:
  double:
    parameters: {channels: {}, stride: {default: 1}}
    stages:
      - {op: Conv3d, name: conv1, out_channels: $channels, kernel_size: 3, padding: 1, stride: $stride}
      - {op: ReLU}
      - {op: Conv3d, name: conv2, out_channels: $channels, kernel_size: 3, padding: 1}
      - {op: ReLU}
  up:
    parameters: {channels: {}}
    inputs: [deep, skip]
    stages:
      - {op: ConvTranspose3d, name: up, out_channels: $channels, kernel_size: 2, stride: 2}
      - {op: Add, inputs: [up, skip]}
      - {block: double, name: conv, channels: $channels}
stages:
  - {block: double, name: enc, channels: $width}
  - {block: double, name: bottom, channels: 16, stride: 2}
  - {block: up, name: dec, channels: $width, inputs: [bottom, enc]}
  - {op: Conv3d, name: head, out_channels: 2, kernel_size: 1}
"""


def read(text):
    return parse_spec(HEAD + text, "s.yaml")


def wires(text):
    return [(stage.name, *stage.inputs) for stage in read(text).stages]


def test_a_network_of_blocks():
    assert wires(UNET) == [
        ("enc.conv1", "input"),
        ("enc.ReLU", "enc.conv1"),
        ("enc.conv2", "enc.ReLU"),
        ("enc.ReLU_2", "enc.conv2"),
        ("bottom.conv1", "enc.ReLU_2"),
        ("bottom.ReLU", "bottom.conv1"),
        ("bottom.conv2", "bottom.ReLU"),
        ("bottom.ReLU_2", "bottom.conv2"),
        ("dec.up", "bottom.ReLU_2"),
        ("dec.Add", "dec.up", "enc.ReLU_2"),
        ("dec.conv.conv1", "dec.Add"),
        ("dec.conv.ReLU", "dec.conv.conv1"),
        ("dec.conv.conv2", "dec.conv.ReLU"),
        ("dec.conv.ReLU_2", "dec.conv.conv2"),
        ("head", "dec.conv.ReLU_2"),
    ]


def test_parameters_of_a_use():
    found = {stage.name: stage.values for stage in read(UNET).stages}
    assert found["enc.conv1"]["out_channels"] == 8
    assert found["enc.conv1"]["stride"] == 1
    assert found["bottom.conv1"]["out_channels"] == 16
    assert found["bottom.conv1"]["stride"] == 2
    assert found["dec.conv.conv2"]["out_channels"] == 8


def test_settings_reach_into_blocks():
    spec = parse_spec(HEAD + UNET, "s.yaml", settings={"width": 5})
    assert {stage.values["out_channels"] for stage in spec.stages if stage.name.startswith("enc.conv")} == {5}


def test_outputs_name_blocks_and_what_is_in_them():
    spec = read(UNET + "outputs: [enc, head, dec.conv, dec.up]")
    assert spec.outputs == ("enc.ReLU_2", "head", "dec.conv.ReLU_2", "dec.up")
    assert spec.blocks["dec"] == "dec.conv.ReLU_2"


def test_stages_of_a_block_can_be_read_from_outside():
    text = "stages: [{name: a, stages: [{op: Abs, name: x}, {op: ReLU}]}, {op: Add, inputs: [a.x, a]}]"
    assert wires(text)[-1] == ("Add", "a.x", "a.ReLU")


def test_repeated_in_place():
    text = "stages: [{repeat: 2, name: body, stages: [{op: Conv3d, name: c}, {op: ReLU}]}]"
    assert wires(text) == [
        ("body.0.c", "input"),
        ("body.0.ReLU", "body.0.c"),
        ("body.1.c", "body.0.ReLU"),
        ("body.1.ReLU", "body.1.c"),
    ]


def test_repeated_with_values_of_its_own():
    group = "{repeat: {d: [1, 2, 4]}, stages: [{op: Conv3d, dilation: $d, padding: $d}]}"
    text = f"stages: [{group}, {{op: ReLU, input: block}}]"
    stages = read(text).stages
    assert [stage.name for stage in stages] == ["block.0.Conv3d", "block.1.Conv3d", "block.2.Conv3d", "ReLU"]
    assert [stage.values["dilation"] for stage in stages[:3]] == [1, 2, 4]
    assert stages[-1].inputs == ("block.2.Conv3d",)


def test_a_repeated_block_reads_its_further_inputs_every_time():
    text = """
blocks: {mix: {inputs: [x, skip], stages: [{op: Add, inputs: [x, skip]}]}}
stages: [{op: Abs, name: s}, {block: mix, repeat: 3, inputs: [input, s]}]
"""
    assert wires(text)[1:] == [
        ("mix.0.Add", "input", "s"),
        ("mix.1.Add", "mix.0.Add", "s"),
        ("mix.2.Add", "mix.1.Add", "s"),
    ]


def test_repeat_may_be_a_parameter():
    text = "parameters: {n: {default: 3}}\nstages: [{repeat: $n, stages: [{op: ReLU}]}]"
    assert len(read(text).stages) == 3


def test_stages_in_place_see_what_is_around_them():
    text = "stages: [{op: Abs, name: a}, {name: g, stages: [{op: ReLU}, {op: Add, inputs: [ReLU, a]}]}]"
    assert wires(text)[-1] == ("g.Add", "g.ReLU", "a")


def test_input_in_a_block_is_what_the_block_reads():
    text = "stages: [{op: Abs, name: a}, {name: g, stages: [{op: ReLU}, {op: Add, inputs: [ReLU, input]}]}]"
    assert wires(text)[-1] == ("g.Add", "g.ReLU", "a")


def test_a_weight_is_found_by_the_whole_name():
    spec = read("stages: [{name: g, stages: [{op: Conv3d, name: c, weight: other.weight}]}]")
    assert spec.stages[0].name == "g.c"
    assert spec.stages[0].tensors["weight"].key == "other.weight"


BLOCK = "blocks: {b: {parameters: {c: {}, k: {default: 3}}, stages: [{op: Conv3d, kernel_size: $k}]}}\n"
FAULTS = [
    ("blocks: []\nstages: [{op: A}]", "expected a mapping of blocks"),
    ("blocks: {b: {}}\nstages: [{op: A}]", "a block without stages, expected the key stages"),
    ("blocks: {b: {stages: []}}\nstages: [{block: b}]", r"blocks.b.stages: found no stages"),
    ("blocks: {b-c: {stages: [{op: A}]}}\nstages: [{op: A}]", "a block's name"),
    ("blocks: {b: {inputs: [x, x], stages: [{op: A}]}}\nstages: [{op: A}]", "each once"),
    ("blocks: {b: {parameters: {name: {}}, stages: [{op: A}]}}\nstages: [{op: A}]", "a key of every use"),
    ("stages: [{block: b}]", "no block 'b', expected none, for the spec has no blocks"),
    (BLOCK + "stages: [{block: a, c: 1}]", "no block 'a', expected one of b"),
    (BLOCK + "stages: [{block: b}]", "no c, expected the key c, a parameter of block b"),
    (BLOCK + "stages: [{block: b, c: 1, kk: 2}]", r"stages\[0\].kk: found the key 'kk', expected one of .*, c, k"),
    (BLOCK + "stages: [{block: b, c: 1, k: x}]", r"stages\[0\].k: found 'x', expected a number"),
    (BLOCK + "stages: [{block: b, c: {}}]", "expected a number, text, true, false or a list"),
    (BLOCK + "stages: [{block: b, c: 1, inputs: [input, input]}]", "2 inputs of a block, expected one"),
    (BLOCK + "stages: [{block: b, op: A, c: 1}]", "op and block together"),
    (BLOCK + "stages: [{block: b, c: 1, input: Conv3d}]", "no stage 'Conv3d'"),
    ("blocks: {b: {stages: [{op: A, input: a}]}}\nstages: [{op: A, name: a}, {block: b}]", "no stage 'a'"),
    ("blocks: {b: {stages: [{block: b}]}}\nstages: [{block: b}]", "at most 20 blocks inside one another"),
    ("blocks: {b: {inputs: [x], stages: [{op: A, name: x}]}}\nstages: [{block: b}]", "what the block reads"),
    ("stages: [{repeat: 2}]", "found repeat alone"),
    ("stages: [{repeat: 0, stages: [{op: A}]}]", "a whole number from 1 to 1000"),
    ("stages: [{repeat: {}, stages: [{op: A}]}]", "lists of one length"),
    ("stages: [{repeat: {a: [1], b: [1, 2]}, stages: [{op: A}]}]", "lists of one length"),
    ("stages: [{repeat: {a: 3}, stages: [{op: A}]}]", "a list, one value a repetition"),
    ("stages: [{stages: [{op: A}], kernel_size: 3}]", "unknown key 'kernel_size'"),
    ("stages: [{name: g, stages: [{op: A}]}, {op: A, name: g.A}]", "a second stage called 'g.A'"),
    ("stages: [{name: g, stages: [{op: A, input: h}]}, {op: A, name: h}]", "no stage 'h'"),
    (f"stages: [{{name: {'g' * 60}, stages: [{{op: A, name: {'a' * 60}}}]}}]", "has 121 characters"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_faults(text, message):
    with pytest.raises(SpecError, match=message) as caught:
        read(text)
    assert str(caught.value).startswith("s.yaml: line ")


def test_blocks_that_multiply_end_at_a_limit():
    blocks = "\n".join(f"  b{n + 1}: {{stages: [{{block: b{n}, repeat: 10}}]}}" for n in range(12))
    with pytest.raises(SpecError, match=f"at most {MAX_STAGES} stages"):
        read(f"blocks:\n  b0: {{stages: [{{op: A}}]}}\n{blocks}\nstages: [{{block: b12}}]")

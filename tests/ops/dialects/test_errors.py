"""What every framework refuses at one time or another, refused in every dialect when the parameters are read."""

import pytest

from volconv.dialects import dialect_names
from volconv.errors import ShapeError, SpecError
from volconv.ops.base import Wire
from volconv.ops.registry import get_dialect

DIALECTS = dialect_names()
CONVOLUTIONS = ("Conv3d", "Conv2d", "ConvTranspose3d", "ConvTranspose2d")
FORWARD = ("Conv3d", "Conv2d")
TRANSPOSED = ("ConvTranspose3d", "ConvTranspose2d")
EVERY = pytest.mark.parametrize(("dialect", "op"), [(d, op) for d in DIALECTS for op in CONVOLUTIONS])


def rank(op):
    return 2 if op.endswith("2d") else 3


@EVERY
@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"groups": 0}, "groups: .*found 0, expected a whole number of at least 1"),
        ({"groups": -2}, "groups: .*found -2, expected a whole number of at least 1"),
        ({"groups": 3}, "groups: .*3 groups for in_channels 4, expected in_channels divisible by groups"),
        ({"groups": 4}, "groups: .*4 groups for out_channels 6, expected out_channels divisible by groups"),
        ({"kernel_size": 0}, "kernel_size: .*found 0, expected a whole number of at least 1"),
        ({"stride": 0}, "stride: .*found 0, expected a whole number of at least 1"),
        ({"dilation": 0}, "dilation: .*found 0, expected a whole number of at least 1"),
        ({"padding": -1}, "padding: .*found -1, expected a whole number of at least 0"),
        ({"kernel_size": [3, 3, 3, 3]}, "kernel_size: .*found a list of 4"),
        ({"kernel_size": [3]}, "kernel_size: .*found a list of 1"),
        ({"stride": [1, 1, 1, 1]}, "stride: .*found a list of 4"),
        ({"kernel_size": 3.0}, "kernel_size: .*found 3.0, expected a whole number"),
        ({"kernel_size": 2.7}, "kernel_size: .*found 2.7, expected a whole number"),
        ({"kernel_size": "333"}, "kernel_size: .*found '333', expected a whole number"),
        ({"stride": "1"}, "stride: .*found '1', expected a whole number"),
        ({"stride": True}, "stride: .*found true, expected a whole number"),
        ({"padding": "some"}, "padding: .*found 'some'"),
        ({"padding": ""}, "padding: .*found ''"),
        ({"bias": 1}, "bias: .*found 1, expected true or false"),
        ({"strides": 2}, "strides: .*did you mean 'stride'"),
        ({"in_channels": 0}, "in_channels: .*found 0"),
        ({"out_channels": 0}, "out_channels: .*found 0"),
    ],
)
def test_parameters_out_of_their_range(read, dialect, op, wrong, rule):
    with pytest.raises(SpecError, match=rule) as error:
        read(dialect, op, **{"in_channels": 4, "out_channels": 6, "kernel_size": 3, **wrong})
    assert f"stage 'a' ({op})" in str(error.value)


@EVERY
@pytest.mark.parametrize("key", ["stride", "padding", "dilation"])
def test_lists_of_one_stand_for_all_axes_in_torch_alone(read, dialect, op, key):
    parameters = {"in_channels": 4, "out_channels": 4, "kernel_size": 3, key: [1]}
    if dialect == "torch":
        assert read(dialect, op, **parameters) == read(dialect, op, **{**parameters, key: [1] * rank(op)})
    else:
        with pytest.raises(SpecError, match=f"{key}: .*found a list of 1"):
            read(dialect, op, **parameters)


@pytest.mark.parametrize("op", FORWARD)
@pytest.mark.parametrize(
    ("dialect", "accepted"),
    [
        ("torch", ["same", "valid"]),
        ("lucid", ["same", "Same", "SAME", "valid", "VALID"]),
        ("megengine", []),
        ("onnx", []),
    ],
)
def test_words_for_padding(read, dialect, op, accepted):
    for word in ("same", "Same", "SAME", "valid", "VALID"):
        parameters = {"out_channels": 4, "kernel_size": 3, "padding": word}
        if word in accepted:
            pad = read(dialect, op, **parameters).pad_low[3 - rank(op) :]
            assert pad == ((1,) if word.lower() == "same" else (0,)) * rank(op)
        else:
            with pytest.raises(SpecError, match=f"padding: .*found '{word}'"):
                read(dialect, op, **parameters)


@pytest.mark.parametrize("op", FORWARD)
@pytest.mark.parametrize("dialect", ["torch", "lucid"])
def test_same_wants_stride_one(read, dialect, op):
    with pytest.raises(SpecError, match=r"same with stride \[2, .*expected stride 1"):
        read(dialect, op, out_channels=4, kernel_size=3, stride=2, padding="same")


@pytest.mark.parametrize("op", TRANSPOSED)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_transposed_convolutions_take_no_word_for_padding(read, dialect, op):
    with pytest.raises(SpecError, match=r"padding: .*found 'same', expected"):
        read(dialect, op, out_channels=4, kernel_size=3, padding="same")


PADDING_MODES = {
    ("torch", "Conv3d"): ("zeros", "reflect", "replicate", "circular"),
    ("torch", "Conv2d"): ("zeros", "reflect", "replicate", "circular"),
    ("torch", "ConvTranspose3d"): ("zeros",),
    ("torch", "ConvTranspose2d"): ("zeros",),
    ("lucid", "Conv3d"): ("zeros", "reflect", "replicate", "circular"),
    ("lucid", "Conv2d"): ("zeros", "reflect", "replicate", "circular"),
    ("megengine", "Conv2d"): ("zeros", "reflect", "replicate"),
}


@EVERY
def test_padding_modes(read, dialect, op):
    accepted = PADDING_MODES.get((dialect, op), ())
    for mode in ("zeros", "reflect", "replicate", "circular", "Zeros", "edge", "constant", 1):
        parameters = {"out_channels": 4, "kernel_size": 3, "padding_mode": mode}
        if mode in accepted:
            assert read(dialect, op, **parameters).padding_mode == mode
        else:
            with pytest.raises(SpecError, match="padding_mode: "):
                read(dialect, op, **parameters)


@pytest.mark.parametrize("op", TRANSPOSED)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_limits_of_output_padding(read, dialect, op):
    def accepted(**parameters):
        try:
            read(dialect, op, out_channels=4, kernel_size=3, **parameters)
        except SpecError as error:
            return str(error).split(":")[0] not in ("output_padding", "dilation")
        return True

    assert accepted(stride=2, output_padding=1)
    assert not accepted(stride=2, output_padding=2)
    assert not accepted(stride=1, output_padding=1)
    assert accepted(stride=2, dilation=3, output_padding=2) == (dialect in ("torch", "onnx"))
    assert not accepted(stride=2, dilation=3, output_padding=3)


@EVERY
def test_what_the_size_of_the_input_forbids(read, dialect, op):
    made = read(dialect, op, (6, 6, 6), out_channels=4, kernel_size=3, dilation=1)
    with pytest.raises(ShapeError, match=r"input of 5 channels, expected in_channels = 4"):
        made.out_wire((Wire((6, 6, 6), 5),))
    with pytest.raises(ShapeError):
        made.out_wire((Wire((6, 0, 6), 4),))
    if op in FORWARD:
        with pytest.raises(ShapeError, match=r"kernel of 3 voxels along W .*expected a kernel that fits"):
            made.out_wire((Wire((6, 6, 2), 4),))


@pytest.mark.parametrize(("dialect", "op"), list(PADDING_MODES))
@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_borders_made_of_more_voxels_than_there_are(read, dialect, op, mode):
    if mode not in PADDING_MODES[dialect, op]:
        return
    made = read(dialect, op, out_channels=4, kernel_size=3, padding=4, padding_mode=mode)
    enough = 5 if mode == "reflect" else 4
    made.out_wire((Wire((enough, enough, enough), 4),))
    with pytest.raises(ShapeError, match=f"{mode} padding of 4 along H on a size of {enough - 1}"):
        made.out_wire((Wire((enough, enough - 1, enough), 4),))


@EVERY
def test_what_another_framework_has_is_refused_with_the_reason(read, dialect, op):
    reader = get_dialect(dialect).readers[op]
    assert not set(reader.refused) & set(reader.parameters)
    for key, reason in reader.refused.items():
        with pytest.raises(SpecError, match=f"{key}: .*no such key here") as error:
            read(dialect, op, out_channels=4, kernel_size=3, **{key: 1})
        assert reason in str(error.value)


@EVERY
def test_every_parameter_any_dialect_has_is_known_or_refused(dialect, op):
    every = {key for name in DIALECTS for o in CONVOLUTIONS for key in get_dialect(name).readers[o].parameters}
    reader = get_dialect(dialect).readers[op]
    assert every == {*reader.parameters, *reader.refused}


@EVERY
def test_kernel_and_channels_follow_from_the_weight(read, dialect, op):
    kernel = (5, 2, 3)[: rank(op)]
    made = read(dialect, op, weight_shape=(4, 4, *kernel))
    assert made.kernel_size[3 - rank(op) :] == kernel
    assert made.out_channels == 4
    with pytest.raises(SpecError, match="weight is not known"):
        read(dialect, op, out_channels=4)
    with pytest.raises(SpecError, match="weight is not known"):
        read(dialect, op, kernel_size=3)
    with pytest.raises(SpecError, match=f"expected {rank(op) + 2} axes"):
        read(dialect, op, weight_shape=(4, 4, 3))


@EVERY
def test_all_ways_to_write_a_size_mean_the_same(read, dialect, op):
    n = rank(op)
    one = {"kernel_size": 3, "stride": 1, "padding": 1}
    many = {key: [number] * n for key, number in one.items()}
    assert read(dialect, op, out_channels=4, **one) == read(dialect, op, out_channels=4, **many)
    assert read(dialect, op, out_channels=4, kernel_size=(3,) * n) == read(dialect, op, out_channels=4, kernel_size=3)


@EVERY
def test_a_default_written_out_changes_nothing(read, dialect, op):
    plain = {"in_channels": 4, "out_channels": 4, "kernel_size": 3}
    for key, schema in get_dialect(dialect).readers[op].parameters.items():
        if "default" in schema:
            assert read(dialect, op, **plain, **{key: schema["default"]}) == read(dialect, op, **plain), key

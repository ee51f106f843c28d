import numpy as np
import pytest

from volconv.errors import ShapeError, SpecError
from volconv.ops.base import Wire
from volconv.ops.initial import Initial
from volconv.ops.registry import get_dialect


@pytest.mark.parametrize(
    ("name", "parameters", "shape", "expected"),
    [
        ("Conv3d", {"in_channels": 3, "out_channels": 1, "kernel_size": 3}, (4, 4, 4), (2, 2, 2)),
        ("Conv2d", {"in_channels": 3, "out_channels": 1, "kernel_size": 3}, (9, 4, 4), (9, 2, 2)),
        (
            "ConvTranspose3d",
            {"in_channels": 3, "out_channels": 64, "kernel_size": 3, "stride": 2, "padding": 1},
            (32, 32, 32),
            (63, 63, 63),
        ),
    ],
)
def test_the_examples_of_the_pages(read, name, parameters, shape, expected):
    op = read("megengine", name, shape, **parameters)
    assert op.out_wire((Wire(shape, 3),)).shape == expected


@pytest.mark.parametrize(
    ("name", "groups", "weight", "bias"),
    [
        ("Conv3d", 1, (8, 4, 3, 3, 3), (1, 8, 1, 1, 1)),
        ("Conv3d", 2, (2, 4, 2, 3, 3, 3), (1, 8, 1, 1, 1)),
        ("Conv2d", 4, (4, 2, 1, 3, 3), (1, 8, 1, 1)),
        ("ConvTranspose3d", 1, (4, 8, 3, 3, 3), (1, 8, 1, 1, 1)),
        ("ConvTranspose2d", 2, (2, 2, 4, 3, 3), (1, 8, 1, 1)),
    ],
)
def test_layouts(read, name, groups, weight, bias):
    reader = get_dialect("megengine").readers[name]
    op = read("megengine", name, in_channels=4, out_channels=8, kernel_size=3, groups=groups)
    assert reader.stored_shapes(op) == {"weight": weight, "bias": bias}
    plain = reader.plain_shape(weight)
    assert plain == get_dialect("torch").readers[name].stored_shapes(op)["weight"]
    found = read("megengine", name, in_channels=4, groups=groups, weight_shape=plain)
    assert (found.out_channels, found.kernel_size) == (8, op.kernel_size)
    stored = np.arange(np.prod(weight)).reshape(weight)
    canonical = reader.canonical(op, "weight", stored)
    assert canonical.shape == op.tensor_shapes()["weight"]
    if groups > 1:
        per_group = canonical.shape[0] // groups
        np.testing.assert_array_equal(canonical[per_group], stored[1, 0].reshape(canonical.shape[1:]))


def test_grouped_transposed_convolutions_are_refused_in_three_dimensions(read):
    parameters = {"in_channels": 4, "out_channels": 8, "kernel_size": 3, "groups": 2}
    with pytest.raises(SpecError, match=r"never hands groups on to its kernel .* layout: megengine"):
        read("megengine", "ConvTranspose3d", **parameters)
    op = read("torch", "ConvTranspose3d", **parameters)
    shapes = get_dialect("megengine").readers["ConvTranspose3d"].stored_shapes(op)
    assert shapes["weight"] == (2, 2, 4, 3, 3, 3)


@pytest.mark.parametrize("name", ["Conv3d", "Conv2d", "ConvTranspose2d"])
def test_conv_mode(read, name):
    for word in ("cross_correlation", "CROSS_CORRELATION"):
        read("megengine", name, out_channels=4, kernel_size=3, conv_mode=word)
    for word in ("convolution", "CONVOLUTION", "", 1, None):
        with pytest.raises(SpecError, match=r"conv_mode: .*expected cross_correlation; MegEngine never flips"):
            read("megengine", name, out_channels=4, kernel_size=3, conv_mode=word)


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_compute_mode(read, name):
    for word in ("default", "float32", "FLOAT32"):
        read("megengine", name, out_channels=4, kernel_size=3, compute_mode=word)
    with pytest.raises(SpecError, match=r"compute_mode: .*found 'float16', expected default or float32"):
        read("megengine", name, out_channels=4, kernel_size=3, compute_mode="float16")


def test_output_padding_does_not_save_a_size_of_zero(read):
    parameters = {"out_channels": 4, "kernel_size": 1, "stride": 3, "padding": 1, "output_padding": 2}
    with pytest.raises(ShapeError, match="output of -1 voxels along D before output_padding"):
        read("megengine", "ConvTranspose3d", (1, 1, 1), **parameters)
    assert read("megengine", "ConvTranspose3d", (2, 2, 2), **parameters).out_wire((Wire((2, 2, 2), 4),)).shape == (
        4,
        4,
        4,
    )


@pytest.mark.parametrize(
    ("name", "fan"),
    [("Conv3d", 4 * 27), ("Conv2d", 4 * 9), ("ConvTranspose3d", 4 * 27), ("ConvTranspose2d", 8 * 9)],
)
def test_initialisation(read, name, fan):
    groups = 1 if name == "ConvTranspose3d" else 2
    op = read("megengine", name, in_channels=4, out_channels=8, kernel_size=3, groups=groups)
    rank = get_dialect("megengine").readers[name].rank
    assert get_dialect("megengine").initial(op, "weight", rank) == Initial("normal", pytest.approx(fan**-0.5))
    assert get_dialect("megengine").initial(op, "bias", rank) == Initial("zeros")

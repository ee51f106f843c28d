import pytest

from volconv.errors import ShapeError, SpecError
from volconv.ops.base import Wire
from volconv.ops.initial import Initial
from volconv.ops.registry import get_dialect


@pytest.mark.parametrize(
    ("parameters", "shape", "expected"),
    [
        ({"in_channels": 1, "out_channels": 16, "kernel_size": 3, "padding": 1}, (16, 32, 32), (16, 32, 32)),
        (
            {"in_channels": 16, "out_channels": 32, "kernel_size": 3, "stride": 2, "padding": 1},
            (16, 32, 32),
            (8, 16, 16),
        ),
    ],
)
def test_the_examples_of_the_page(read, parameters, shape, expected):
    op = read("lucid", "Conv3d", shape, **parameters)
    wire = op.out_wire((Wire(shape, parameters["in_channels"]),))
    assert wire.shape == expected
    assert wire.channels == parameters["out_channels"]


def test_the_source_decides_on_initialisation(read):
    op = read("lucid", "Conv3d", in_channels=4, out_channels=6, kernel_size=3, groups=2)
    assert get_dialect("lucid").initial(op, "weight", 3) == Initial("uniform", (2 * 27) ** -0.5)


@pytest.mark.parametrize("op", ["ConvTranspose3d", "ConvTranspose2d"])
@pytest.mark.parametrize("wrong", [{"groups": 2}, {"dilation": 2}])
def test_transposed_convolutions_have_neither_groups_nor_dilation(read, op, wrong):
    with pytest.raises(SpecError, match="expected 1: Lucid's transposed convolutions have no other"):
        read("lucid", op, out_channels=4, kernel_size=3, **wrong)
    read("lucid", op, out_channels=4, kernel_size=3, groups=1, dilation=1)


def test_a_kernel_too_large_by_less_than_the_stride_is_refused(read):
    op = read("lucid", "Conv3d", out_channels=4, kernel_size=4, stride=3)
    with pytest.raises(ShapeError, match="expected a kernel that fits"):
        op.out_wire((Wire((3, 9, 9), 4),))

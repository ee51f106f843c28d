import inspect

import pytest

from volconv.errors import SpecError
from volconv.ops.base import Wire
from volconv.ops.initial import Initial
from volconv.ops.registry import get_dialect


def test_same_puts_the_odd_voxel_at_the_high_end(read):
    op = read("torch", "Conv3d", out_channels=4, kernel_size=(2, 3, 4), dilation=(1, 2, 3), padding="same")
    assert (op.pad_low, op.pad_high) == ((0, 2, 4), (1, 2, 5))


def test_valid_makes_the_padding_mode_irrelevant(read):
    op = read("torch", "Conv3d", out_channels=4, kernel_size=3, padding="valid", padding_mode="circular")
    assert op.out_wire((Wire((3, 3, 3), 4),)).shape == (1, 1, 1)


def test_lists_of_one_where_torch_would_pad_one_axis_alone(read):
    parameters = {"out_channels": 4, "kernel_size": 3, "padding_mode": "reflect"}
    with pytest.raises(SpecError, match=r"padding: .*list of 1"):
        read("torch", "Conv3d", padding=[1], **parameters)
    with pytest.raises(SpecError, match=r"dilation: .*list of 1"):
        read("torch", "Conv3d", padding="same", dilation=[2], **parameters)
    assert read("torch", "Conv3d", padding="valid", dilation=[2], **parameters).dilation == (2, 2, 2)
    assert read("torch", "Conv3d", stride=[2], **parameters).stride == (2, 2, 2)


def test_output_padding_may_save_a_size_of_zero(read):
    op = read(
        "torch", "ConvTranspose3d", (1, 1, 1), out_channels=4, kernel_size=1, stride=3, padding=1, output_padding=2
    )
    assert op.out_wire((Wire((1, 1, 1), 4),)).shape == (1, 1, 1)


def test_two_dimensional_operators_leave_depth_alone(read):
    op = read("torch", "ConvTranspose2d", out_channels=6, kernel_size=3, stride=2, padding=1, output_padding=1)
    wire = op.out_wire((Wire((7, 5, 6), 4, spacing_mm=(3.0, 1.0, 1.0)),))
    assert wire.shape == (7, 10, 12)
    assert wire.spacing_mm == (3.0, 0.5, 0.5)
    assert op.in_interval(0, (2, 4)) == (2, 4)
    reader = get_dialect("torch").readers["ConvTranspose2d"]
    assert reader.stored_shapes(op) == {"weight": (4, 6, 3, 3), "bias": (6,)}


@pytest.mark.parametrize(("name", "fan"), [("Conv3d", 2 * 27), ("Conv2d", 2 * 9), ("ConvTranspose3d", 3 * 27)])
def test_initialisation(read, name, fan):
    op = read("torch", name, in_channels=4, out_channels=6, kernel_size=3, groups=2)
    for tensor in ("weight", "bias"):
        assert get_dialect("torch").initial(op, tensor, 3) == Initial("uniform", pytest.approx(fan**-0.5))


def test_every_parameter_is_torchs():
    torch = pytest.importorskip("torch")
    for name, reader in get_dialect("torch").readers.items():
        if hasattr(torch.nn, name) and name != "Threshold":  # which is volconv's own
            theirs = set(inspect.signature(getattr(torch.nn, name)).parameters)
            extra = {"bias", "device", "dtype", "inplace", "init", "args", "kwargs"}
            assert set(reader.parameters) - {"bias"} == theirs - extra, name

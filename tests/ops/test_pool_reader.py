import pytest

from volconv.errors import SpecError
from volconv.ops.reader import Context
from volconv.ops.registry import get_dialect
from volconv.values import Values

VOLUME = Context(2, shape=(9, 10, 11))


def read(dialect, name, **parameters):
    return get_dialect(dialect).readers[name].read(Values(parameters), VOLUME)


def fails(dialect, name, match, **parameters):
    with pytest.raises(SpecError, match=match):
        read(dialect, name, **parameters)


@pytest.mark.parametrize("dialect", ["torch", "lucid"])
@pytest.mark.parametrize("stride", [{}, {"stride": None}])
def test_the_stride_is_the_kernel_where_it_is_left_out(dialect, stride):
    op = read(dialect, "MaxPool3d", kernel_size=[1, 2, 3], **stride)
    assert op.stride == op.kernel_size == (1, 2, 3)
    assert read(dialect, "MaxPool3d", kernel_size=3, stride=[1, 2, 1]).stride == (1, 2, 1)


def test_onnx_steps_by_one_and_excludes_padding():
    op = read("onnx", "AvgPool3d", kernel_size=2)
    assert op.stride == (1, 1, 1)
    assert not op.count_include_pad
    assert read("onnx", "AvgPool3d", kernel_size=2, count_include_pad=1).count_include_pad


def test_slices_have_a_window_of_one_along_d():
    op = read("torch", "AvgPool2d", kernel_size=3, padding=[0, 1])
    assert (op.kernel_size, op.stride, op.pad_low, op.pad_high) == ((1, 3, 3), (1, 3, 3), (0, 0, 1), (0, 0, 1))


def test_megengine_leaves_padding_out_unless_told():
    assert not read("megengine", "AvgPool2d", kernel_size=2).count_include_pad
    assert read("megengine", "AvgPool2d", kernel_size=2, mode="average").count_include_pad
    fails("megengine", "AvgPool2d", "mode", kernel_size=2, mode="sum")


def test_torch_takes_lists_of_one():
    op = read("torch", "MaxPool3d", kernel_size=[3], stride=[2], padding=[1], dilation=[1])
    assert (op.kernel_size, op.stride, op.pad_low) == ((3, 3, 3), (2, 2, 2), (1, 1, 1))
    fails("lucid", "MaxPool3d", "a list of 1", kernel_size=[3])


@pytest.mark.parametrize("dialect", ["torch", "lucid"])
def test_padding_is_at_most_half_of_the_kernel(dialect):
    assert read(dialect, "MaxPool3d", kernel_size=4, padding=2).pad_high == (2, 2, 2)
    fails(dialect, "MaxPool3d", "at most half of kernel_size 3", kernel_size=3, padding=2)


def test_onnx_padding_is_less_than_the_window():
    assert read("onnx", "MaxPool3d", kernel_size=2, dilation=3, pads=[3, 3, 3, 0, 0, 0]).pad_low == (3, 3, 3)
    fails("onnx", "MaxPool3d", "less than the window of 4 voxels", kernel_size=2, dilation=3, pads=[4, 0, 0, 0, 0, 0])


def test_auto_pad_keeps_the_size_over_the_stride():
    op = read("onnx", "MaxPool3d", kernel_size=3, stride=2, auto_pad="SAME_UPPER")
    assert (op.pad_low, op.pad_high) == ((1, 0, 1), (1, 1, 1))
    assert dict(op.describe())["auto_pad"] == "SAME_UPPER"
    assert read("onnx", "MaxPool3d", kernel_size=3, stride=2, auto_pad="SAME_LOWER").pad_low == (1, 1, 1)


def test_torchs_mean_wants_a_volume_as_large_as_the_window():
    fails("torch", "AvgPool3d", "10 along D for a volume of 9 voxels", kernel_size=10, padding=5)
    read("torch", "AvgPool2d", kernel_size=20, padding=10)


@pytest.mark.parametrize(
    ("dialect", "name", "match", "parameters"),
    [
        ("torch", "MaxPool3d", "false: indices are not computed", {"return_indices": True}),
        ("torch", "AvgPool3d", "another number, or null", {"divisor_override": 0}),
        ("torch", "AvgPool3d", "it is of MaxPool alone", {"dilation": 2}),
        ("torch", "MaxPool3d", "it is ONNX'", {"pads": [1] * 6}),
        ("lucid", "MaxPool3d", "never hands it on", {"dilation": 2}),
        ("lucid", "AvgPool3d", "never hands it on", {"count_include_pad": False}),
        ("lucid", "MaxPool2d", "never hands it on", {"ceil_mode": True}),
        ("megengine", "MaxPool2d", "MegEngine does not have it", {"ceil_mode": True}),
        ("onnx", "MaxPool3d", "it orders indices", {"storage_order": 1}),
        ("onnx", "AvgPool3d", "0 or 1", {"ceil_mode": 2}),
        ("onnx", "AvgPool3d", "ONNX does not have it", {"divisor_override": 3}),
    ],
)
def test_what_a_dialect_has_not_is_refused_with_the_reason(dialect, name, match, parameters):
    fails(dialect, name, match, kernel_size=2, **parameters)


@pytest.mark.parametrize("kernel", [0, -1, 2.5, "3", [1, 2], None])
def test_no_such_kernel(kernel):
    fails("torch", "MaxPool3d", "kernel_size", kernel_size=kernel)
    fails("torch", "MaxPool3d", "kernel_size")

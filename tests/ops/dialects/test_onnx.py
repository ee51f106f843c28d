"""The onnx dialect against the text of ONNX' operators and, where they are to be had, its own node tests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import SpecError
from volconv.formats.in_memory import ArraySource
from volconv.ops.base import Wire
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import BUDGET, Case


def compute(case, values):
    return run_graph(case.graph("float64"), ArraySource(values), BUDGET, 1)["op"]


def test_pads_are_lows_then_highs(read):
    op = read("onnx", "Conv3d", out_channels=4, kernel_size=3, pads=[0, 1, 2, 3, 4, 5])
    assert (op.pad_low, op.pad_high) == ((0, 1, 2), (3, 4, 5))
    op = read("onnx", "Conv2d", out_channels=4, kernel_size=3, pads=[1, 0, 2, 3])
    assert (op.pad_low, op.pad_high) == ((0, 1, 0), (0, 2, 3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"padding": 1, "pads": [1] * 6}, "padding beside pads"),
        ({"padding": 1, "auto_pad": "VALID"}, "padding beside auto_pad"),
        ({"auto_pad": "SAME_UPPER", "pads": [1] * 6}, "pads beside auto_pad SAME_UPPER"),
        ({"pads": 1}, "expected a list of 6: lows, then highs"),
        ({"pads": [1, 1, 1]}, "found a list of 3"),
        ({"pads": [-1, 0, 0, 0, 0, 0]}, "found -1"),
        ({"auto_pad": "same"}, "expected one of NOTSET"),
        ({"auto_pad": "SAME"}, "expected one of NOTSET, VALID"),
    ],
)
def test_contradictions(read, wrong, message):
    with pytest.raises(SpecError, match=message):
        read("onnx", "Conv3d", out_channels=4, kernel_size=3, **wrong)


def test_output_shape_beside_padding(read):
    parameters = {"out_channels": 4, "kernel_size": 3, "output_shape": [9, 9, 9]}
    with pytest.raises(SpecError, match="padding beside output_shape"):
        read("onnx", "ConvTranspose3d", (4, 4, 4), padding=1, **parameters)
    with pytest.raises(SpecError, match=r"output_shape: .*found 0"):
        read("onnx", "ConvTranspose3d", (4, 4, 4), **{**parameters, "output_shape": 0})
    ignored = read("onnx", "ConvTranspose3d", (4, 4, 4), pads=[2] * 6, **parameters)
    assert ignored == read("onnx", "ConvTranspose3d", (4, 4, 4), **parameters)


sizes = st.tuples(*[st.integers(1, 9)] * 3)
small = st.tuples(*[st.integers(1, 4)] * 3)


@given(sizes, small, small, small, st.booleans())
def test_same_of_a_convolution(read, shape, kernel, stride, dilation, upper):
    op = read("onnx", "Conv3d", shape, out_channels=4, kernel_size=kernel, stride=stride, dilation=dilation,
              auto_pad="SAME_UPPER" if upper else "SAME_LOWER")  # fmt: skip
    assert op.out_wire((Wire(shape, 4),)).shape == tuple(-(-n // s) for n, s in zip(shape, stride, strict=True))
    for low, high in zip(op.pad_low, op.pad_high, strict=True):
        assert (high - low if upper else low - high) in (0, 1)


@given(small, small, small, small, st.booleans())
def test_same_of_a_transposed_convolution(read, shape, kernel, stride, dilation, upper):
    op = read("onnx", "ConvTranspose3d", shape, out_channels=4, kernel_size=kernel, stride=stride, dilation=dilation,
              auto_pad="SAME_UPPER" if upper else "SAME_LOWER")  # fmt: skip
    assert op.out_wire((Wire(shape, 4),)).shape == tuple(n * s for n, s in zip(shape, stride, strict=True))


@settings(max_examples=60, deadline=None)
@given(small, small, small, small, sizes, st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]))
def test_output_shape_is_what_comes_out(read, shape, kernel, stride, dilation, wanted, auto):
    op = read("onnx", "ConvTranspose3d", shape, in_channels=1, out_channels=1, kernel_size=kernel, stride=stride,
              dilation=dilation, output_shape=wanted, auto_pad=auto, bias=False)  # fmt: skip
    case = Case(op, shape, 1)
    values = case.values("float64")
    found = compute(case, values)
    assert found.shape == (1, *wanted)
    unpadded = read("onnx", "ConvTranspose3d", shape, in_channels=1, out_channels=1, kernel_size=kernel, stride=stride,
                    dilation=dilation, bias=False)  # fmt: skip
    full = compute(Case(unpadded, shape, 1), values)
    expected = np.zeros((1, *wanted))
    start, stop = [], []
    for have, want in zip(full.shape[1:], wanted, strict=True):
        total = max(0, have - want)
        low = total // 2 if auto == "SAME_UPPER" else total - total // 2
        start.append(low)
        stop.append(min(have, low + want))
    part = full[(slice(None), *map(slice, start, stop))]
    expected[(slice(None), *map(slice, part.shape[1:]))] = part
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_node_test_convtranspose_output_shape(read):
    """ONNX' own case: 9 x 7 of themselves, asked to be 10 x 8: a row and a column more, at the end."""
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    op = read("onnx", "ConvTranspose2d", (1, 3, 3), in_channels=1, out_channels=2, kernel_size=3, stride=[3, 2],
              output_shape=[10, 8], bias=False)  # fmt: skip
    case = Case(op, (1, 3, 3), 1, {"weight": np.ones((1, 2, 1, 3, 3))})
    found = compute(case, x)
    assert found.shape == (2, 1, 10, 8)
    assert found[0, 0, 0].tolist() == [0, 0, 1, 1, 3, 2, 2, 0]
    assert found[1, 0, 8].tolist() == [6, 6, 13, 7, 15, 8, 8, 0]
    assert not found[:, 0, 9].any()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_layer_that_has_seen_no_input_pads_as_far_as_is_known(read, stride):
    op = read("onnx", "Conv3d", out_channels=4, kernel_size=4, stride=stride, auto_pad="SAME_UPPER")
    assert (op.pad_low, op.pad_high) == (((1, 1, 1), (2, 2, 2)) if stride == 1 else ((0, 0, 0), (0, 0, 0)))
    read("onnx", "ConvTranspose3d", out_channels=4, kernel_size=3, output_shape=9)


def test_what_is_shown_is_what_was_written(read):
    same = {"out_channels": 4, "kernel_size": 4, "stride": 2, "auto_pad": "SAME_LOWER"}
    for name in ("Conv3d", "ConvTranspose3d"):
        shown = read("onnx", name, (9, 9, 9), **same).describe()
        assert shown["auto_pad"] == "SAME_LOWER"
        assert "padding" not in shown
    shown = read("onnx", "ConvTranspose3d", (4, 4, 4), out_channels=4, kernel_size=3, output_shape=9).describe()
    assert shown["output_shape"] == (9, 9, 9)
    assert not {"padding", "output_padding"} & set(shown)

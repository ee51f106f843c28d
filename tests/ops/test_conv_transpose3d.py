import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.engine.naive_engine import run_naive
from volconv.errors import ShapeError
from volconv.formats.in_memory import ArraySource
from volconv.ops.base import Wire
from volconv.ops.conv_transpose3d import ConvTranspose3d
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import BUDGET, Case, OpContract


class TestConvTranspose3d(OpContract):
    cases = (
        Case(ConvTranspose3d(2, 3, (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1), (1, 1, 1)), (4, 5, 6), 2),
        Case(ConvTranspose3d(4, 4, (2, 2, 2), (2, 2, 2), groups=2), (3, 4, 9), 4),
        Case(ConvTranspose3d(3, 32, (4, 4, 4), (2, 2, 2), (1, 1, 1), (1, 1, 1)), (3, 4, 5), 3),
        Case(ConvTranspose3d(1, 2, (2, 3, 1), (3, 1, 4), bias=True), (3, 3, 3), 1),
        Case(ConvTranspose3d(2, 1, (3, 2, 3), (2, 3, 1), dilation=(2, 1, 3), output_padding=(1, 2, 0)), (3, 4, 5), 2),
        Case(ConvTranspose3d(1, 1, (2, 2, 2), (5, 5, 5)), (2, 3, 2), 1),
        Case(ConvTranspose3d(1, 2, (4, 3, 3), (2, 3, 2), (0, 2, 1), (3, 0, 2), (0, 1, 5)), (3, 4, 5), 1),
        Case(ConvTranspose3d(2, 3, (1, 3, 3), (1, 2, 2), (0, 1, 1), (0, 1, 1), (0, 1, 1)), (3, 4, 5), 2),
    )


def test_a_size_below_one_is_refused():
    op = ConvTranspose3d(1, 1, (1, 1, 1), pad_low=(2, 0, 0), pad_high=(2, 0, 0))
    with pytest.raises(ShapeError, match="output of 0 voxels along D"):
        op.out_wire((Wire((4, 4, 4), 1),))


def test_uncovered_outputs_are_the_bias():
    op = ConvTranspose3d(1, 1, (1, 1, 1), (3, 3, 3))
    case = Case(op, (2, 2, 2), 1, {"weight": np.ones((1, 1, 1, 1, 1), "f4"), "bias": np.array([0.5], "f4")})
    out = run_graph(case.graph("float32"), ArraySource(np.ones((1, 2, 2, 2), "f4")), BUDGET, 1)["op"][0]
    assert out.shape == (4, 4, 4)
    assert (out[::3, ::3, ::3] == 1.5).all()
    assert out.sum() == 8 + 0.5 * 64


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 2))
    triple = st.tuples(*[st.integers(1, 4)] * 3)
    stride, dilation = draw(triple), draw(triple)
    low, high = (draw(st.tuples(*[st.integers(0, 2)] * 3)) for _ in range(2))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    op = ConvTranspose3d(
        groups * draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 2, 16])), draw(triple), stride, low, high,
        extra, dilation, groups, draw(st.booleans()),
    )  # fmt: skip
    return Case(op, draw(st.tuples(*[st.integers(1, 5)] * 3)), op.in_channels), draw(
        st.tuples(*[st.integers(1, 9)] * 3)
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_any_parameters_any_tile(drawn):
    case, tile = drawn
    try:
        graph = case.graph("float32")
    except ShapeError:
        return
    values = case.values("float32")
    whole = run_graph(graph, ArraySource(values), BUDGET, 2, "whole")["op"]
    assert run_graph(graph, ArraySource(values), BUDGET, 1, tile)["op"].tobytes() == whole.tobytes()
    expected = run_naive(graph, values)["op"]
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-4)

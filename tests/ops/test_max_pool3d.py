import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import ShapeError
from volconv.formats.in_memory import ArraySource
from volconv.ops.base import Wire
from volconv.ops.max_pool3d import MaxPool3d
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import BUDGET, Case, OpContract

torch = pytest.importorskip("torch")


class TestMaxPool3d(OpContract):
    cases = (
        Case(MaxPool3d((2, 2, 2), (2, 2, 2)), (6, 7, 40), 3),
        Case(MaxPool3d((3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1)), (6, 7, 41), 2),
        Case(MaxPool3d((3, 2, 3), (1, 3, 1), (1, 0, 1), (1, 0, 1), (1, 1, 2)), (7, 6, 40), 1),
        Case(MaxPool3d((2, 3, 4), (3, 2, 3), (0, 1, 2), (0, 1, 2), ceil_mode=True), (7, 6, 19), 2),
        Case(MaxPool3d((1, 2, 2), (1, 2, 2), dilation=(1, 3, 2)), (3, 9, 70), 1),
        Case(MaxPool3d((2, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1)), (3, 4, 17), 2),
    )


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(
        ShapeError, match=r"window of 7 voxels along H \(kernel_size 4, dilation 2\) on a padded size of 6"
    ):
        MaxPool3d((1, 4, 1), (1, 1, 1), dilation=(1, 2, 1)).out_wire((Wire((1, 6, 1), 1),))


@st.composite
def pools(draw):
    kernel = draw(st.tuples(*[st.integers(1, 5)] * 3))
    pads = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride, dilation = draw(st.tuples(*[st.integers(1, 4)] * 3)), draw(st.tuples(*[st.integers(1, 3)] * 3))
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 60)))
    op = MaxPool3d(kernel, stride, pads, pads, dilation, draw(st.booleans()))
    return Case(op, shape, draw(st.integers(1, 3))), draw(st.tuples(*[st.integers(1, 9)] * 3))


@settings(max_examples=80, deadline=None)
@given(pools(), st.integers(0, 9))
def test_any_parameters_any_tile_as_torch(drawn, holes):
    case, tile = drawn
    try:
        graph = case.graph("float32")
    except ShapeError:
        return
    op, values = case.op, case.values("float32")
    values.flat[np.random.default_rng(0).integers(0, values.size, holes)] = np.nan
    whole = run_graph(graph, ArraySource(values), BUDGET, 2, "whole")["op"]
    assert run_graph(graph, ArraySource(values), BUDGET, 1, tile)["op"].tobytes() == whole.tobytes()
    layer = torch.nn.MaxPool3d(op.kernel_size, op.stride, op.pad_low, op.dilation, ceil_mode=op.ceil_mode)
    np.testing.assert_array_equal(whole, layer(torch.from_numpy(values)).numpy())

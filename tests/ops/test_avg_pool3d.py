import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.engine.naive_engine import run_naive
from volconv.errors import ShapeError
from volconv.formats.in_memory import ArraySource
from volconv.ops.avg_pool3d import AvgPool3d
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import BUDGET, Case, OpContract

torch = pytest.importorskip("torch")


class TestAvgPool3d(OpContract):
    cases = (
        Case(AvgPool3d((2, 2, 2), (2, 2, 2)), (6, 7, 40), 3),
        Case(AvgPool3d((3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1)), (6, 7, 41), 2),
        Case(AvgPool3d((3, 2, 3), (1, 3, 1), (1, 0, 1), (1, 1, 0), count_include_pad=False), (7, 6, 40), 1),
        Case(AvgPool3d((2, 3, 4), (3, 2, 3), (0, 1, 2), (0, 1, 2), ceil_mode=True), (7, 6, 19), 2),
        Case(
            AvgPool3d((2, 3, 3), (2, 2, 2), (1, 2, 3), (1, 0, 1), (1, 2, 2), True, count_include_pad=False),
            (5, 9, 70),
            1,
        ),
        Case(AvgPool3d((2, 2, 2), (1, 1, 1), divisor=-3), (3, 4, 17), 2),
    )


@st.composite
def pools(draw):
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 3))
    pads = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride = draw(st.tuples(*[st.integers(1, 4)] * 3))
    shape = tuple(draw(st.integers(k, m)) for k, m in zip(kernel, (9, 9, 60), strict=True))
    count, divisor = draw(st.booleans()), draw(st.sampled_from((0, 0, 5)))
    op = AvgPool3d(kernel, stride, pads, pads, (1, 1, 1), draw(st.booleans()), None, count, divisor)
    return Case(op, shape, draw(st.integers(1, 3))), draw(st.tuples(*[st.integers(1, 9)] * 3))


@settings(max_examples=80, deadline=None)
@given(pools())
def test_any_parameters_any_tile_as_torch(drawn):
    case, tile = drawn
    graph, op, values = case.graph("float32"), case.op, case.values("float32")
    whole = run_graph(graph, ArraySource(values), BUDGET, 2, "whole")["op"]
    assert run_graph(graph, ArraySource(values), BUDGET, 1, tile)["op"].tobytes() == whole.tobytes()
    layer = torch.nn.AvgPool3d(
        op.kernel_size, op.stride, op.pad_low, op.ceil_mode, op.count_include_pad, op.divisor or None
    )
    np.testing.assert_allclose(whole, layer(torch.from_numpy(values)).numpy(), rtol=2e-6, atol=2e-6)


def test_sums_are_taken_tap_by_tap():
    """The bits are those of float32 sums in the order of the taps, divided once, at every place of a row."""
    op = AvgPool3d((1, 2, 3), (1, 1, 1))
    case = Case(op, (1, 3, 45), 1)
    x = case.values("float32")
    found = run_graph(case.graph("float32"), ArraySource(x), BUDGET, 1, "whole")["op"]
    total = np.zeros(found.shape, np.float32)
    for h in range(2):
        for w in range(3):
            total = total + x[:, :, h : h + 2, w : w + 43]
    np.testing.assert_array_equal(found, total / np.float32(6))


def test_windows_that_see_nothing_are_not_a_number():
    op = AvgPool3d((1, 1, 2), (1, 1, 1), (0, 0, 2), (0, 0, 2), (1, 1, 3), count_include_pad=False)
    case = Case(op, (1, 1, 1), 1)
    graph, x = case.graph("float32"), case.values("float32")
    found = run_graph(graph, ArraySource(x), BUDGET, 1, "whole")["op"]
    np.testing.assert_array_equal(found, run_naive(graph, x)["op"].astype(np.float32))
    assert np.isnan(found).all()
    assert found.size == 2


def test_a_volume_smaller_than_the_window_is_refused():
    with pytest.raises(ShapeError, match="window of 3 voxels along W"):
        Case(AvgPool3d((1, 1, 3), (1, 1, 1)), (1, 1, 2), 1).graph("float32")

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate

from volconv.engine.naive_engine import run_naive
from volconv.errors import ShapeError
from volconv.formats.in_memory import ArraySource
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import BUDGET, Case, OpContract

MODES = ("zeros", "reflect", "replicate", "circular")


class TestConv3d(OpContract):
    cases = (
        Case(Conv3d(1, 1, (3, 3, 3), pad_low=(1, 1, 1), pad_high=(1, 1, 1)), (6, 7, 9), 1),
        Case(Conv3d(2, 5, (3, 1, 5), (2, 1, 3), (1, 0, 2), (1, 0, 2), (1, 1, 2)), (7, 5, 20), 2),
        Case(Conv3d(4, 6, (2, 2, 2), groups=2, bias=False), (5, 5, 18), 4),
        Case(Conv3d(3, 32, (3, 3, 3), pad_low=(1, 1, 1), pad_high=(1, 1, 1)), (5, 6, 19), 3),
        Case(Conv3d(32, 20, (1, 1, 1)), (3, 4, 17), 32),
        Case(Conv3d(3, 3, (3, 3, 3), pad_low=(1, 1, 1), pad_high=(1, 1, 1), groups=3), (5, 6, 33), 3),
        *(
            Case(Conv3d(2, 3, (3, 4, 3), (1, 2, 1), (1, 2, 3), (1, 1, 3), (1, 1, 2), padding_mode=mode), (5, 6, 7), 2)
            for mode in MODES
        ),
        Case(Conv3d(1, 2, (4, 5, 5), pad_low=(10, 15, 15), pad_high=(10, 15, 15)), (4, 4, 4), 1),
        Case(Conv3d(1, 2, (2, 2, 2), pad_low=(9, 9, 9), pad_high=(9, 9, 9), padding_mode="replicate"), (3, 2, 4), 1),
        Case(Conv3d(1, 1, (1, 1, 1), stride=(3, 4, 5)), (7, 8, 9), 1),
    )


@pytest.mark.parametrize(("mode", "name"), [("replicate", "nearest"), ("reflect", "mirror"), ("circular", "wrap")])
def test_padding_modes_are_those_of_scipy(mode, name):
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((1, 9, 8, 11)), rng.standard_normal((3, 5, 3))
    op = Conv3d(1, 1, w.shape, pad_low=(1, 2, 1), pad_high=(1, 2, 1), bias=False, padding_mode=mode)
    case = Case(op, x.shape[1:], 1, {"weight": w[None, None]})
    found = run_graph(case.graph("float64"), ArraySource(x), BUDGET, 2, (4, 4, 5))["op"]
    np.testing.assert_allclose(found[0], correlate(x[0], w, mode=name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_padding_beyond_what_the_mode_can_make_is_refused(mode):
    op = Conv3d(1, 1, (1, 1, 1), pad_low=(5, 0, 0), pad_high=(5, 0, 0), padding_mode=mode)
    limit = 6 if mode == "reflect" else 5
    op.out_wire((Wire((limit, 1, 1), 1),))
    with pytest.raises(ShapeError, match="padding of 5 along D"):
        op.out_wire((Wire((limit - 1, 1, 1), 1),))


def test_a_kernel_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="kernel of 5 voxels along H"):
        Conv3d(1, 1, (1, 3, 1), dilation=(1, 2, 1)).out_wire((Wire((1, 4, 1), 1),))


def test_another_number_of_channels_is_refused():
    with pytest.raises(ShapeError, match="3 channels"):
        Conv3d(2, 1, (1, 1, 1)).out_wire((Wire((4, 4, 4), 3),))


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 3))
    triple = st.tuples(*[st.integers(1, 3)] * 3)
    pads = st.tuples(*[st.integers(0, 3)] * 3)
    shape = draw(st.tuples(*[st.integers(4, 9)] * 3))
    op = Conv3d(
        groups * draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 2, 3, 16])), draw(triple), draw(triple),
        draw(pads), draw(pads), draw(triple), groups, draw(st.booleans()), draw(st.sampled_from(MODES)),
    )  # fmt: skip
    return Case(op, shape, op.in_channels), draw(st.tuples(*[st.integers(1, 9)] * 3))


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
    products = case.op.in_channels // case.op.groups * np.prod(case.op.kernel_size) + 1
    magnitude = run_naive(_absolute(graph), np.abs(values))["op"]
    error = np.abs(whole - run_naive(graph, values)["op"])
    assert (error <= 4 * np.finfo("float32").eps * np.sqrt(products) * magnitude + 1e-30).all()


def _absolute(graph):
    from dataclasses import replace

    node = graph.nodes[0]
    tensors = {name: np.abs(tensor) for name, tensor in node.tensors.items()}
    return replace(graph, nodes=(replace(node, tensors=tensors),))


def test_nan_and_inf_reach_exactly_the_windows_that_hold_them():
    x = np.ones((1, 8, 8, 8), np.float32)
    x[0, 3, 4, 5] = np.nan
    x[0, 6, 1, 1] = np.inf
    op = Conv3d(1, 4, (3, 3, 3), pad_low=(1, 1, 1), pad_high=(1, 1, 1))
    out = run_graph(Case(op, (8, 8, 8), 1).graph("float32"), ArraySource(x), BUDGET, 2, (3, 3, 3))["op"]
    expected = np.zeros((8, 8, 8), bool)
    for d, h, w in product((-1, 0, 1), repeat=3):
        expected[3 + d, 4 + h, 5 + w] = expected[6 + d, 1 + h, 1 + w] = True
    assert (~np.isfinite(out) == expected).all()

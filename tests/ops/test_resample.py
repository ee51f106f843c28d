from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.engine.naive_engine import run_naive
from volconv.errors import ShapeError
from volconv.formats.in_memory import ArraySource
from volconv.ops.base import Wire
from volconv.ops.resample import Resample, corner_to_corner, from_origin, half_pixel, list_sources, place_of, unchanged
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import BUDGET, Case, OpContract

RULES = ("linear", "floor", "ceil", "round_down", "round_up", "single_floor", "single_round")


def resample(shape, out, rule, make=half_pixel):
    return Resample(tuple(make(a, b) for a, b in zip(shape, out, strict=True)), rule)


class TestResample(OpContract):
    shape = (3, 4, 21)
    cases = (
        *(Case(resample((3, 4, 21), (6, 8, 42), rule), (3, 4, 21), 2) for rule in RULES),
        *(Case(resample((3, 4, 21), (7, 2, 50), rule), (3, 4, 21), 1) for rule in RULES),
        Case(resample((3, 4, 21), (6, 8, 42), "linear", corner_to_corner), (3, 4, 21), 3),
        Case(resample((3, 4, 21), (1, 3, 11), "linear", corner_to_corner), (3, 4, 21), 1),
        Case(resample((3, 1, 21), (1, 5, 11), "linear", corner_to_corner), (3, 1, 21), 1),
        Case(resample((3, 4, 21), (9, 5, 33), "linear", from_origin), (3, 4, 21), 1),
        Case(Resample((unchanged(3), half_pixel(4, 10, 2.6), half_pixel(21, 33, 1.6)), "linear"), (3, 4, 21), 2),
    )


@st.composite
def lines(draw, longest):
    length = draw(st.integers(1, longest))
    make = draw(st.sampled_from((half_pixel, from_origin, corner_to_corner, unchanged)))
    if make is unchanged:
        return unchanged(length)
    if make is corner_to_corner or draw(st.booleans()):
        return make(length, draw(st.integers(1, 2 * longest)))
    factor = draw(st.floats(1 / length, 3.5))
    return make(length, max(1, int(length * factor)), factor)


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(lines(6), lines(6), lines(40)),
    st.sampled_from(RULES),
    st.integers(1, 3),
    st.tuples(*[st.integers(1, 9)] * 3),
)
def test_any_axes_any_tile(axes, rule, channels, tile):
    case = Case(Resample(axes, rule), tuple(line.length for line in axes), channels)
    graph, values = case.graph("float32"), case.values("float32")
    whole = run_graph(graph, ArraySource(values), BUDGET, 2, "whole")["op"]
    assert run_graph(graph, ArraySource(values), BUDGET, 1, tile)["op"].tobytes() == whole.tobytes()
    expected = run_naive(graph, values)["op"]
    if rule == "linear":
        assert abs(whole - expected).max() <= 8 * np.finfo("f4").eps * abs(values).max()
    else:
        np.testing.assert_array_equal(whole, expected.astype("f4"))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 70), st.integers(1, 150), st.sampled_from((half_pixel, from_origin, corner_to_corner)))
def test_places_are_exact(length, count, make):
    """Of sizes alone every place is a fraction; share and rounding are those of the fraction."""
    line = make(length, count)
    index = np.arange(count)
    exact = [Fraction(line.slope) * int(i) / line.divisor + Fraction(line.start, line.divisor) for i in index]
    held = [min(max(place, Fraction(0)), Fraction(length - 1)) for place in exact]
    low, high, share = list_sources(line, "linear", index)
    assert low.tolist() == [int(place) for place in held]
    assert share.tolist() == [float(place - int(place)) for place in held]
    assert (high - low).tolist() == [int(place != int(place)) for place in held]
    half = Fraction(1, 2)
    rounded_by = {
        "floor": lambda p: p // 1,
        "ceil": lambda p: -(-p // 1),
        "round_up": lambda p: (p + half) // 1,
        "round_down": lambda p: -((half - p) // 1),
    }
    for rule, rounded in rounded_by.items():
        expected = [min(max(int(rounded(place)), 0), length - 1) for place in exact]
        assert list_sources(line, rule, index).low.tolist() == expected, rule


@given(st.integers(1, 30), st.floats(0.01, 40), st.sampled_from((half_pixel, from_origin)), st.sampled_from(RULES))
def test_outputs_taken_apart_are_made_of_the_same(length, factor, make, rule):
    count = max(1, int(length * factor))
    line = make(length, count, factor)
    whole = list_sources(line, rule, np.arange(count))
    assert (np.diff(whole.low) >= 0).all()
    assert (np.diff(whole.high) >= 0).all()
    for i in {0, count // 3, count - 1}:
        one = list_sources(line, rule, np.array([i]))
        assert [part[0] for part in one] == [part[i] for part in whole]
        assert Resample((line, line, line), rule).in_interval(1, (i, i + 1)) == (one.low[0], one.high[0] + 1)


def test_a_share_of_nothing_hides_what_is_not_a_number():
    line = corner_to_corner(3, 5)
    x = np.array([1.0, np.nan, np.inf], np.float32).reshape(1, 1, 1, 3)
    case = Case(Resample((unchanged(1), unchanged(1), line), "linear"), (1, 1, 3), 1)
    found = run_graph(case.graph("float32"), ArraySource(x), BUDGET, 1, "whole")["op"]
    np.testing.assert_array_equal(found.ravel(), np.array([1, np.nan, np.nan, np.nan, np.inf], np.float32))


def test_unchanged_axes_change_nothing():
    x = np.array([5e-324, 3e-45, 1.5], np.float32).reshape(1, 3, 1, 1)
    case = Case(Resample((unchanged(3), half_pixel(1, 2), half_pixel(1, 3)), "linear"), (3, 1, 1), 1)
    found = run_graph(case.graph("float32"), ArraySource(x), BUDGET, 1, "whole")["op"]
    np.testing.assert_array_equal(found, np.broadcast_to(x, (1, 3, 2, 3)))


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("rule", ["linear", "single_floor", "single_round", "round_up"])
def test_where_outputs_lie(factor, rule):
    make = from_origin if rule == "single_floor" else half_pixel
    scale, offset = place_of(make(8, 8 * factor), rule)
    assert (scale, offset) == pytest.approx((1 / factor, (1 / factor - 1) / 2))


def test_aligned_corners_lie_on_each_other():
    scale, offset = place_of(corner_to_corner(8, 22), "linear")
    assert offset == 0.0
    assert scale * 21 == 7.0
    assert place_of(corner_to_corner(1, 4), "linear") == (0.25, -0.375)
    assert place_of(corner_to_corner(5, 1), "linear") == (5.0, 0.0)


def test_another_size_is_refused():
    with pytest.raises(ShapeError, match="5 voxels along H, expected 4"):
        resample((3, 4, 5), (6, 8, 10), "linear").out_wire((Wire((3, 5, 5), 1),))

"""Exact sums: whatever the numbers, the layout, the boxes and the threads, they are those of fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import exact_sums
from volconv.kernels.catalog_memory import sum_bytes
from volconv.kernels.exact_sums import ExactSums, Sums
from volconv.kernels.jit import set_threads, thread_count


def add_all(volume, last=False, boxes=None):
    """Return the sums of a (C, D, H, W) volume, added box by box."""
    c, d, h, w = volume.shape
    flat = np.ascontiguousarray(volume.transpose(1, 2, 3, 0) if last else volume).ravel()
    steps = (1, h * w * c, w * c, c) if last else (d * h * w, h * w, w, 1)
    sums = ExactSums(volume.dtype.name, c)
    for start, box in boxes or [((0, 0, 0), (d, h, w))]:
        sums.add(flat, sum(a * s for a, s in zip(start, steps[1:], strict=True)), steps, box)
    return sums.sums()


def by_fractions(volume):
    exact = [[Fraction(float(value)) for value in channel.ravel()] for channel in volume]
    return [(len(values), sum(values), sum(v * v for v in values)) for values in exact]


def as_tuples(sums):
    return [(s.count, s.total, s.squares) for s in sums]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("dtype", "low", "high"), [("float32", -149, 127), ("float64", -1074, 1000)])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_sums_are_exact(dtype, low, high, last, data):
    shape = data.draw(st.tuples(st.integers(1, 3), *[st.integers(1, 4)] * 2, st.integers(1, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    a, b = sorted(data.draw(st.tuples(*[st.integers(low, high)] * 2)))
    with np.errstate(all="ignore"):
        volume = np.ldexp(rng.standard_normal(shape), rng.integers(a, b + 1, shape)).astype(dtype)
    volume[~np.isfinite(volume)] = 0
    volume[rng.random(shape) < 0.2] = data.draw(st.sampled_from([0.0, -0.0, 1.0, float(np.finfo(dtype).max)]))
    assert as_tuples(add_all(volume, last)) == by_fractions(volume)


def test_neither_boxes_nor_threads_change_the_words():
    volume = np.random.default_rng(0).standard_normal((3, 5, 6, 4100)).astype(np.float32)
    whole, threads = as_tuples(add_all(volume)), thread_count()
    cuts = [((z, 0, x), (1, 6, n)) for z in range(4, -1, -1) for x, n in ((3000, 1100), (0, 3000))]
    try:
        for count in (1, 2):
            set_threads(count)
            assert as_tuples(add_all(volume, boxes=cuts)) == whole
            assert as_tuples(add_all(volume, last=True)) == whole
    finally:
        set_threads(threads)


def test_carries_are_passed_on(monkeypatch):
    monkeypatch.setattr(exact_sums, "_CARRY_AFTER", 8)
    volume = np.full((2, 4, 4, 4), -3e38, np.float32)
    volume[1] = np.random.default_rng(1).standard_normal((4, 4, 4))
    slices = [((z, 0, 0), (1, 4, 4)) for z in range(4)]
    assert as_tuples(add_all(volume, boxes=slices)) == by_fractions(volume)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("values", "mean"),
    [([np.inf, 1], np.inf), ([-np.inf, 1], -np.inf), ([np.inf, -np.inf], np.nan), ([np.nan, 1], np.nan)],
)
def test_values_that_are_not_finite(values, mean, dtype):
    volume = np.array([[1, 2], values], dtype).reshape(2, 1, 1, 2)
    finite, other = add_all(volume)
    assert (finite.mean(), finite.variance()) == (1.5, 0.25)
    np.testing.assert_equal([other.mean(), other.variance()], [mean, np.nan])
    np.testing.assert_equal((finite + other).mean(), mean)


def test_mean_and_variance_are_rounded_once():
    values = np.array([1e8, 1e8 + 8, 1e8 - 8, 1e8], np.float32)
    (sums,) = add_all(values.reshape(1, 1, 2, 2))
    assert (sums.mean(), sums.variance()) == (1e8, 32.0)
    (large,) = add_all(np.full((1, 1, 1, 3), 1e308) * np.array([1, -1, 1]))
    assert large.variance() == np.inf
    both = Sums(1, Fraction(1), Fraction(1)) + Sums(3, Fraction(5), Fraction(9))
    assert (both.count, both.total, both.squares) == (4, 6, 10)


def test_of_no_values_nothing_is_known():
    (sums,) = ExactSums("float32", 1).sums()
    np.testing.assert_equal([sums.count, sums.mean(), sums.variance()], [0, np.nan, np.nan])


def test_memory_is_counted():
    sums = ExactSums("float32", 5)
    assert sums._words.nbytes + sums._lines.nbytes == sum_bytes("float32", 5, thread_count())


@pytest.mark.parametrize("threads", [1, 2])
def test_states_of_parts_add_up_to_the_whole(threads):
    volume = np.random.default_rng(1).standard_normal((3, 4, 5, 60)).astype(np.float32)
    volume[1] *= np.float32(-1e30)
    before = thread_count()
    try:
        set_threads(threads)
        steps = (1200, 300, 60, 1)
        part, total = ExactSums("float32", 3), ExactSums("float32", 3)
        for z in (2, 0, 3, 1):
            part.clear()
            part.add(volume.ravel(), z * steps[1], steps, (1, 5, 60))
            assert part.count == 300
            state = part.state().copy()
            assert part.state().tobytes() == state.tobytes()
            total.merge(state, part.count)
        assert as_tuples(total.sums()) == by_fractions(volume)
    finally:
        set_threads(before)

"""Statistics of streamed values: exact, and the same however the values are cut."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from volconv.formats.volume_statistics import (
    BLOCK,
    Collector,
    Extremes,
    Moments,
    Quantiles,
    exact_sum,
    ordered_bits,
    value_of_bits,
)

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VALUES = arrays(np.float32, st.integers(1, 60), elements=FLOATS)


def gather(collector: Collector, values: np.ndarray, step: int = BLOCK) -> None:
    for turn in range(collector.passes):
        if turn:
            collector.next_pass()
        for at in range(0, values.size, step):
            collector.add(values[at : at + step])


@given(arrays(np.float64, st.integers(0, 200), elements=st.floats(-1e200, 1e200)))
def test_sums_are_exact(values: np.ndarray) -> None:
    assert exact_sum(values.copy()) == sum(map(Fraction, values.tolist()), Fraction(0))


def test_sums_of_full_blocks_are_exact() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(BLOCK) * 10.0 ** rng.integers(-40, 30, BLOCK)
    assert exact_sum(values.copy()) == sum(map(Fraction, values.tolist()), Fraction(0))
    ones = np.full(1 << 22, 1.0 + 2.0**-52)
    assert exact_sum(ones.copy()) == Fraction(1.0 + 2.0**-52) * (1 << 22)


@given(VALUES, st.integers(1, 60), st.randoms())
def test_moments_are_those_of_the_real_numbers_in_any_cut_and_order(
    values: np.ndarray, step: int, random: object
) -> None:
    whole, cut = Moments(), Moments()
    gather(whole, values)
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    gather(cut, shuffled, step)
    numbers = list(map(Fraction, values.tolist()))
    mean = sum(numbers, Fraction(0)) / len(numbers)
    variance = sum(((x - mean) ** 2 for x in numbers), Fraction(0)) / len(numbers)
    assert (whole.count, whole.mean) == (len(numbers), float(mean))
    assert whole.deviation == float(np.sqrt(float(variance)))
    assert (cut.mean, cut.deviation) == (whole.mean, whole.deviation)


@given(VALUES, st.integers(1, 60), st.lists(st.floats(0, 100), min_size=1, max_size=4))
def test_quantiles_are_numpys_to_the_bit(values: np.ndarray, step: int, percentages: list[float]) -> None:
    quantiles = Quantiles(*percentages)
    gather(quantiles, values, step)
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(quantiles.values, np.percentile(values, percentages))


@pytest.mark.parametrize("kind", ["normal", "integers", "tiny"])
def test_quantiles_of_many_values(kind: str) -> None:
    rng = np.random.default_rng(3)
    many = {
        "normal": rng.standard_normal(700_001) * 1000,
        "integers": rng.integers(-5, 4, 700_001),
        "tiny": rng.standard_normal(700_001) * 1e-42,
    }
    values = many[kind].astype(np.float32)
    percentages = [0, 0.5, 2, 25, 50, 98, 99.9, 100]
    quantiles = Quantiles(*percentages)
    gather(quantiles, values, 100_000)
    np.testing.assert_array_equal(quantiles.values, np.percentile(values, percentages))


@given(VALUES)
def test_extremes(values: np.ndarray) -> None:
    extremes = Extremes()
    gather(extremes, values, 7)
    assert (extremes.minimum, extremes.maximum) == (values.min(), values.max())


@given(arrays(np.float32, 20, elements=FLOATS))
def test_bits_are_in_the_order_of_values(values: np.ndarray) -> None:
    keys = ordered_bits(values)
    order = np.argsort(keys, kind="stable")
    assert (np.diff(values[order]) >= 0).all()
    assert [value_of_bits(int(key)).tobytes() for key in keys] == [value.tobytes() for value in values]

"""Rounding to stored types, against exact integer and decimal arithmetic."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.formats.rounding import to_stored

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


@given(
    kind=st.sampled_from(INTEGERS),
    values=st.lists(
        st.floats(allow_subnormal=False, width=32) | st.integers(-300, 300).map(lambda n: n / 2), min_size=1
    ),
    wide=st.booleans(),
)
def test_floats_to_integers_are_half_even_clipped_and_counted(kind: str, values: list[float], wide: bool) -> None:
    array = np.array(values, np.float64 if wide else np.float32)
    stored, clipped = to_stored(array, np.dtype(kind))
    limits = np.iinfo(kind)
    expected, count = [], 0
    for value in array.tolist():
        if value != value:
            exact, outside = 0, True
        elif value in (float("inf"), float("-inf")):
            exact, outside = (limits.max if value > 0 else limits.min), True
        else:
            whole = int(Decimal(value).to_integral_value(ROUND_HALF_EVEN))
            exact, outside = min(max(whole, limits.min), limits.max), not limits.min <= whole <= limits.max
        expected.append(exact)
        count += outside
    assert stored.tolist() == expected
    assert stored.dtype == kind
    assert clipped == count


@given(
    source=st.sampled_from(INTEGERS),
    target=st.sampled_from(INTEGERS),
    numbers=st.lists(st.integers(-(2**63), 2**64 - 1)),
)
def test_integers_to_integers_never_pass_through_a_float(source: str, target: str, numbers: list[int]) -> None:
    have, want = np.iinfo(source), np.iinfo(target)
    numbers = [min(max(n, have.min), have.max) for n in numbers]
    stored, clipped = to_stored(np.array(numbers, source), np.dtype(target))
    assert stored.tolist() == [min(max(n, want.min), want.max) for n in numbers]
    assert clipped == sum(not want.min <= n <= want.max for n in numbers)


@pytest.mark.parametrize("kind", INTEGERS)
def test_the_ends_of_the_range_are_inside(kind: str) -> None:
    limits = np.iinfo(kind)
    if limits.max < 2**53:
        ends = np.array([limits.min - 0.5, limits.max + 0.49])
        stored, clipped = to_stored(ends, np.dtype(kind))
        assert (stored.tolist(), clipped) == ([limits.min, limits.max], 0)
    else:
        stored, clipped = to_stored(np.array([float(limits.max)]), np.dtype(kind))
        assert (stored.tolist(), clipped) == ([limits.max], 1)


def test_half_floats_reach_any_integer_type() -> None:
    stored, clipped = to_stored(np.array([1.5, np.inf, -2.5], np.float16), np.dtype(np.int64))
    assert stored.tolist() == [2, 2**63 - 1, -2]
    assert clipped == 1


def test_the_right_type_is_passed_on_and_floats_are_rounded_once() -> None:
    values = np.array([1.0, np.nan, 1e300])
    assert to_stored(values, np.dtype(np.float64))[0] is values
    single, clipped = to_stored(values, np.dtype(np.float32))
    np.testing.assert_array_equal(single, np.array([1, np.nan, np.inf], np.float32))
    assert clipped == 0

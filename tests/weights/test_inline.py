"""Nested numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from volconv.errors import SpecError
from volconv.values import Length, Place
from volconv.weights.inline import make_inline

PLACE = Place("spec.yaml", 4, 9, "stages[0].weight")


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=1, max_side=3),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_lists_come_back(array):
    found = make_inline(array.tolist())
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, array, strict=True)


def test_whole_numbers_tuples_and_arrays():
    assert make_inline([(1, 2), (3, 4)]).tolist() == [[1, 2], [3, 4]]
    assert make_inline(3).shape == ()
    assert make_inline([]).shape == (0,)
    assert make_inline(np.arange(4, dtype="i2").reshape(2, 2)).dtype == np.float64


@pytest.mark.parametrize(
    ("values", "where", "match"),
    [
        ([[1, 2], [3]], "[1]", "a list of 1, expected a list of 2"),
        ([[1, 2], 3], "[1]", "found 3, expected a list of 2"),
        ([1, [2]], "[1]", "found a list, expected a number"),
        ([[1], [[2]]], "[1][0]", "found a list"),
        ([[[1, 2]], [[3, "4"]]], "[1][0][1]", "found '4', expected a number"),
        ([1, True], "[1]", "found true"),
        ([1, None], "[1]", "found nothing"),
        ([1.0, float("nan")], "[1]", "finite"),
        ([float("-inf")], "[0]", "finite"),
        ([10**400], "[0]", "finite"),
        ([Length(2.0, "mm")], "[0]", "found 2mm"),
        ("text", "", "found 'text'"),
        ({"a": 1}, "", "expected a number"),
        (True, "", "found true"),
        (np.array([1j]), "", "complex128"),
        (np.array([1.0, np.nan]), "", "1 values NaN"),
        (np.array(["a"]), "", "numbers"),
    ],
)
def test_bad_values_say_where(values, where, match):
    with pytest.raises(SpecError, match=match) as caught:
        make_inline(values, PLACE)
    assert str(caught.value).startswith(f"spec.yaml: line 4, column 9: stages[0].weight{where}: ")


def test_deep_lists_are_refused():
    values = 1
    for _ in range(100_000):
        values = [values]
    with pytest.raises(SpecError, match="at most 32 levels"):
        make_inline(values, PLACE)


def test_ragged_lists_do_not_allocate_what_they_claim():
    values = [[[0] * 3000, *[0] * 3000], *[0] * 3000]
    with pytest.raises(SpecError, match="expected a list of 3000"):
        make_inline(values, PLACE)

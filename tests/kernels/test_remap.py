"""Numbers replaced by others: the naive twin, layouts, what is not replaced twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import naive_labels
from volconv.kernels.remap import BoundRemap

from .layouts import FIRST, LAST, layouts, run_on, shapes

PAIRS = st.dictionaries(st.integers(0, 9), st.integers(0, 2**24), max_size=8)


@settings(max_examples=80)
@given(shapes, layouts, layouts, PAIRS)
def test_equals_the_naive_twin_in_any_layout(shape, x_layout, out_layout, labels):
    volume = np.random.default_rng(1).integers(0, 12, shape).astype(np.float32)
    found = run_on(BoundRemap(labels, "float32").run, volume, x_layout, out_layout)
    np.testing.assert_array_equal(found, naive_labels.remap(volume, labels))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_may_change_places(dtype):
    volume = np.arange(5, dtype=dtype).reshape(1, 1, 1, 5)
    found = run_on(BoundRemap({1: 2, 2: 1, 3: 2**24}, dtype).run, volume, LAST, FIRST)
    assert found.ravel().tolist() == [0, 2, 1, 2**24, 4]


def test_other_values_are_kept_bit_for_bit():
    volume = np.array([np.nan, np.inf, 0.5, -1, 1], np.float32).reshape(1, 1, 1, 5)
    found = run_on(BoundRemap({1: 7}, "float32").run, volume, FIRST, FIRST)
    assert found.ravel()[:4].tobytes() == volume.ravel()[:4].tobytes()
    assert found.ravel()[4] == 7

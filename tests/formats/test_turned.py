"""Turned copies, held against NumPy's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.formats.turned import as_ordered, fill_turned, is_turned


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (64, 8, 64), (65, 9, 70), (130, 17, 3), (3, 1, 200)])
@pytest.mark.parametrize("dtype", ["uint8", ">i2", "float32", "float64"])
def test_copies(shape, dtype):
    array = np.random.default_rng(0).integers(0, 200, shape[::-1]).astype(dtype).transpose(2, 1, 0)
    out = as_ordered(array, np.dtype("<f4"))
    assert out.flags.c_contiguous
    assert out.dtype == np.dtype("<f4")
    np.testing.assert_array_equal(out, array.astype("<f4"))


def test_what_is_in_order_is_not_copied():
    array = np.zeros((3, 4, 5), np.float32)
    assert as_ordered(array, array.dtype) is array
    assert not is_turned(array)
    assert is_turned(array.transpose(2, 1, 0))


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 90)] * 3), st.tuples(*[st.integers(1, 3)] * 3))
def test_every_element_is_filled_once(shape, steps):
    whole = np.zeros(tuple(n * s for n, s in zip(shape[::-1], steps, strict=True)), np.int32)
    out = whole[:: steps[0], :: steps[1], :: steps[2]].transpose(2, 1, 0)
    source = np.arange(np.prod(shape)).reshape(shape) + 1
    seen = np.zeros(shape, int)

    def fill(where, tile):
        seen[where] += 1
        tile[...] = source[where]

    fill_turned(out, fill)
    assert (seen == 1).all()
    np.testing.assert_array_equal(out, source)
    assert np.count_nonzero(whole) == source.size

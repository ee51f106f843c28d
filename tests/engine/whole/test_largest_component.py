"""The largest component of every label: scipy, the naive twin, ties, types."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from volconv.engine.whole.largest_component import change, work_bytes
from volconv.kernels import naive_labels
from volconv.ops.largest_component import CONNECTIVITIES, LargestComponent

from .cases import blobs


def largest(volume, connectivity=26):
    found = volume.copy()
    change(LargestComponent(connectivity), found)
    return found


def by_scipy(volume, connectivity):
    structure = scipy.ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    out = np.zeros_like(volume)
    for label in np.unique(volume[volume > 0]):
        parts, _ = scipy.ndimage.label(volume == label, structure)
        out[parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])] = label
    return out


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_equals_scipy(connectivity, dtype):
    for seed in range(10):
        volume = blobs(seed, dtype=dtype)
        np.testing.assert_array_equal(largest(volume, connectivity), by_scipy(volume, connectivity))


@given(st.integers(0, 2**32), st.sampled_from(CONNECTIVITIES), st.tuples(*[st.integers(1, 6)] * 3))
def test_equals_the_naive_twin(seed, connectivity, shape):
    volume = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    expected = naive_labels.largest_component(volume[None], connectivity)[0]
    np.testing.assert_array_equal(largest(volume, connectivity), expected)
    np.testing.assert_array_equal(by_scipy(volume, connectivity), expected)


def test_of_equal_parts_the_first_in_scan_order_is_kept():
    volume = np.zeros((3, 4, 5), np.uint8)
    volume[0, 3, 4] = volume[1, 0, 0] = volume[2, 3, 0] = 7
    assert np.argwhere(largest(volume)).tolist() == [[0, 3, 4]]
    volume[2, 3, 1] = 7
    assert np.argwhere(largest(volume)).tolist() == [[2, 3, 0], [2, 3, 1]]


@pytest.mark.parametrize("volume", [np.zeros((3, 3, 3), np.uint8), np.full((3, 3, 3), 5, np.uint8)])
def test_one_label_alone(volume):
    np.testing.assert_array_equal(largest(volume), volume)


def test_labels_of_many_bits():
    volume = np.zeros((1, 1, 9), np.uint32)
    volume[0, 0, [0, 4, 5, 8]] = [2**24 - 1, 2**24 - 1, 2**24 - 1, 300]
    assert largest(volume).ravel().tolist() == [0, 0, 0, 0, 2**24 - 1, 2**24 - 1, 0, 0, 300]
    assert work_bytes(4) >= 34

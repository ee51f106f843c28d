"""Holes of labels: scipy, the naive twin, shells around shells."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from volconv.engine.whole.fill_holes import change, find_boxes
from volconv.kernels import naive_labels
from volconv.ops.fill_holes import FillHoles

from .cases import blobs


def fill(volume):
    found = volume.copy()
    change(FillHoles(), found)
    return found


def shell(size, label, inner=()):
    """A cube's surface of `label`, with `inner` in its middle."""
    cube = np.full((size,) * 3, label, np.uint8)
    cube[1:-1, 1:-1, 1:-1] = 0
    if len(inner):
        start = (size - len(inner)) // 2
        cube[(slice(start, start + len(inner)),) * 3] = inner
    return cube


def test_one_label_equals_scipy():
    rng = np.random.default_rng(1)
    for _ in range(20):
        volume = (rng.random((9, 10, 11)) < 0.75).astype(np.uint8)
        np.testing.assert_array_equal(fill(volume), scipy.ndimage.binary_fill_holes(volume))


@given(st.integers(0, 2**32), st.tuples(*[st.integers(2, 6)] * 3), st.integers(2, 4))
def test_equals_the_naive_twin(seed, shape, labels):
    volume = np.random.default_rng(seed).integers(0, 9, shape)
    volume = np.where(volume < labels, volume, 1).astype(np.uint8)
    np.testing.assert_array_equal(fill(volume), naive_labels.fill_holes(volume[None])[0])


@given(st.integers(0, 2**32))
def test_a_slice_has_no_borders_along_its_normal(seed):
    volume = (np.random.default_rng(seed).random((1, 9, 9)) < 0.7).astype(np.uint8)
    expected = scipy.ndimage.binary_fill_holes(volume[0])[None]
    np.testing.assert_array_equal(fill(volume), expected)
    np.testing.assert_array_equal(naive_labels.fill_holes(volume[None])[0], expected)
    np.testing.assert_array_equal(fill(volume.transpose(1, 2, 0).copy())[:, :, 0], expected[0])


def test_islands_are_kept_and_the_innermost_label_fills():
    volume = np.pad(shell(9, 1, shell(5, 2)), 1)
    expected = np.pad(np.full((9, 9, 9), 1, np.uint8), 1)
    expected[3:8, 3:8, 3:8] = 2
    np.testing.assert_array_equal(fill(volume), expected)
    np.testing.assert_array_equal(naive_labels.fill_holes(volume[None])[0], expected)
    swapped = np.array([0, 2, 1], np.uint8)
    np.testing.assert_array_equal(fill(swapped[volume]), swapped[expected])


def test_a_hole_between_two_labels_is_nobodys():
    volume = np.pad(shell(5, 1), 1)
    volume[4:] = np.where(volume[4:] == 1, 2, 0)
    np.testing.assert_array_equal(fill(volume), volume)


def test_a_label_at_the_border_may_have_holes_inside():
    volume = shell(5, 3)
    np.testing.assert_array_equal(fill(volume), np.full((5, 5, 5), 3))
    volume[0, 2, 2] = 0
    np.testing.assert_array_equal(fill(volume), volume)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_nothing_to_fill(dtype):
    for volume in (np.zeros((3, 4, 5), dtype), np.full((3, 4, 5), 200, dtype)):
        np.testing.assert_array_equal(fill(volume), volume)


def test_boxes_are_those_of_scipy():
    volume = blobs(3, labels=6)
    found = scipy.ndimage.find_objects(volume)
    assert find_boxes(volume) == {n + 1: box for n, box in enumerate(found) if box is not None}

"""The largest channel: ties, NaN, signed zeros, layouts, and PyTorch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import naive_labels
from volconv.kernels.argmax import run_argmax

from .layouts import FIRST, LAST, layouts, run_on, shapes

ODD = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45])


def argmax(volume, x_layout=FIRST, out_layout=FIRST, *, last=False):
    return run_on(partial(run_argmax, last=last), volume, x_layout, out_layout, out_channels=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 21, 104])
def test_equals_the_naive_twin(channels, last, dtype):
    volume = np.random.default_rng(1).integers(-9, 9, (channels, 3, 5, 531)).astype(dtype)
    expected = naive_labels.argmax(volume, last=last)
    for layout in (FIRST, LAST):
        np.testing.assert_array_equal(argmax(volume, layout, last=last), expected)


@settings(max_examples=60)
@given(shapes, layouts, layouts, st.booleans())
def test_any_layout(shape, x_layout, out_layout, last):
    volume = np.random.default_rng(2).integers(-2, 2, shape).astype(np.float32)
    expected = naive_labels.argmax(volume, last=last)
    np.testing.assert_array_equal(argmax(volume, x_layout, out_layout, last=last), expected)


@settings(max_examples=100)
@given(st.integers(1, 9), st.lists(ODD, min_size=9, max_size=90))
def test_agrees_with_pytorch(channels, numbers):
    torch = pytest.importorskip("torch")
    volume = np.resize(np.array(numbers, np.float32), (channels, 1, 2, 9))
    expected = torch.argmax(torch.from_numpy(volume), dim=0, keepdim=True).numpy()
    for layout in (FIRST, LAST):
        np.testing.assert_array_equal(argmax(volume, layout), expected)


@pytest.mark.parametrize("bits", [0xFFC00000, 0x7FC00001, 0xFFFFFFFF])
def test_any_nan_is_the_largest(bits):
    nan = np.array([bits], np.uint32).view(np.float32)[0]
    volume = np.array([[1, np.inf, nan], [nan, nan, nan], [np.inf, nan, 0]], np.float32).T.reshape(3, 1, 1, 3)
    for layout in (FIRST, LAST):
        assert argmax(volume, layout).ravel().tolist() == [2, 0, 1]
        assert argmax(volume, layout, last=True).ravel().tolist() == [2, 2, 1]


def test_numbers_beyond_those_of_the_halves():
    volume = np.zeros((5000, 1, 1, 3), np.float32)
    volume[[2049, 4097, 4999], 0, 0, [0, 1, 2]] = 1
    for layout in (FIRST, LAST):
        assert argmax(volume, layout).ravel().tolist() == [2049, 4097, 4999]

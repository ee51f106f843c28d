"""The norm over channels: layouts, order of the sum, special values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from volconv.kernels import naive
from volconv.kernels.norm import run_vector_norm

from .layouts import FIRST, LAST, layouts, run_on, shapes


def norm(volume, x_layout=FIRST, out_layout=FIRST):
    return run_on(run_vector_norm, volume, x_layout, out_layout, out_channels=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 50])
def test_equals_the_naive_norm(channels, dtype):
    volume = np.random.default_rng(1).standard_normal((channels, 3, 5, 31)).astype(dtype)
    np.testing.assert_allclose(norm(volume), naive.vector_norm(volume), rtol=(channels + 1) * np.finfo(dtype).eps)


@settings(max_examples=60, deadline=None)
@given(shapes, layouts, layouts)
def test_bits_do_not_depend_on_the_layout(shape, x_layout, out_layout):
    volume = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    assert norm(volume, x_layout, out_layout).tobytes() == norm(volume).tobytes()


def test_bits_do_not_depend_on_the_box():
    volume = np.random.default_rng(3).standard_normal((7, 2, 3, 37)).astype(np.float32)
    whole = norm(volume, LAST)
    parts = [norm(np.ascontiguousarray(volume[..., i : i + 5])) for i in range(0, 37, 5)]
    assert np.concatenate(parts, -1).tobytes() == whole.tobytes()


def test_special_values():
    volume = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0], [1, 1, np.inf, 0, -0.0]], np.float32).reshape(2, 1, 1, 5)
    np.testing.assert_array_equal(norm(volume).ravel(), [np.nan, np.inf, np.inf, 0, 0])

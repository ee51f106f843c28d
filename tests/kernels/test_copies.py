"""Copies between layouts against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from volconv.kernels.copies import run_copy

from .layouts import FIRST, LAST, layouts, run_on, shapes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("x_layout", [FIRST, LAST])
@pytest.mark.parametrize("out_layout", [FIRST, LAST])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5, 3, 4, 7), (40, 3, 9, 70), (1, 2, 3, 5000), (3, 1, 1, 4097)])
def test_copies_between_first_and_last(shape, x_layout, out_layout, dtype):
    volume = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    assert np.array_equal(run_on(run_copy, volume, x_layout, out_layout), volume)


@settings(max_examples=80, deadline=None)
@given(shapes, layouts, layouts)
def test_copies_any_layout_to_any(shape, x_layout, out_layout):
    volume = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert np.array_equal(run_on(run_copy, volume, x_layout, out_layout), volume)


def test_copies_bits_of_nan_and_negative_zero():
    volume = np.array([0x7FC12345, 0x80000000, 0x7F800000, 0x00000001], np.uint32).view(np.float32).reshape(1, 1, 1, 4)
    assert run_on(run_copy, volume, FIRST, LAST).tobytes() == volume.tobytes()


@pytest.mark.parametrize("box", [(0, 2, 2), (2, 0, 2), (2, 2, 0)])
def test_an_empty_box_writes_nothing(box):
    out = np.full(8, 5, np.float32)
    run_copy(np.zeros(8, np.float32), 0, (8, 4, 2, 1), out, 0, (8, 4, 2, 1), box, 1)
    assert (out == 5).all()

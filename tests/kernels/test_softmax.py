"""Softmax and its logarithm over channels: the naive twin, PyTorch, layouts, boxes, special values."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import naive_labels
from volconv.kernels.softmax import run_softmax

from .layouts import FIRST, LAST, Layout, layouts, run_on, shapes


def softmax(volume, x_layout=FIRST, out_layout=FIRST, *, log=False):
    return run_on(partial(run_softmax, log=log), volume, x_layout, out_layout)


def bound(volume, expected, log):
    """One rounding of the difference, of the exponential (1 unit), of each addition, and of the quotient."""
    eps = np.finfo(volume.dtype).eps
    largest = np.abs(volume.astype(np.float64)).max(axis=0)
    relative = eps * (len(volume) / 2 + 4 + 2 * largest)
    return (
        relative + 2 * eps * np.abs(expected) if log else relative * expected + np.finfo(volume.dtype).smallest_normal
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 21, 104])
def test_equals_the_naive_twin(channels, log, dtype):
    volume = (5 * np.random.default_rng(1).standard_normal((channels, 3, 5, 331))).astype(dtype)
    expected = naive_labels.softmax(volume, log=log)
    for layout in (FIRST, LAST):
        found = softmax(volume, layout, layout, log=log)
        assert (np.abs(found - expected) <= bound(volume, expected, log)).all()


@settings(max_examples=60)
@given(shapes, layouts, layouts, st.booleans())
def test_bits_do_not_depend_on_the_layout(shape, x_layout, out_layout, log):
    volume = (4 * np.random.default_rng(2).standard_normal(shape)).astype(np.float32)
    whole = softmax(volume, log=log)
    assert softmax(volume, x_layout, out_layout, log=log).tobytes() == whole.tobytes()
    assert softmax(volume, LAST, LAST, log=log).tobytes() == whole.tobytes()


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("layout", [FIRST, LAST])
def test_bits_do_not_depend_on_the_box(layout, log):
    volume = np.random.default_rng(3).standard_normal((7, 2, 3, 67)).astype(np.float32)
    whole = softmax(volume, log=log)
    for step in (1, 5, 17):
        parts = [
            softmax(np.ascontiguousarray(volume[..., i : i + step]), layout, layout, log=log)
            for i in range(0, 67, step)
        ]
        assert np.concatenate(parts, -1).tobytes() == whole.tobytes()


@settings(max_examples=60)
@given(
    st.integers(1, 6),
    st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=6, max_size=60),
    st.booleans(),
)
def test_agrees_with_pytorch(channels, numbers, log):
    torch = pytest.importorskip("torch")
    volume = np.resize(np.array(numbers, np.float32), (channels, 1, 2, 9))
    layer = torch.nn.LogSoftmax(1) if log else torch.nn.Softmax(1)
    expected = layer(torch.from_numpy(volume.astype(np.float64))[None])[0].numpy()
    for layout in (FIRST, LAST):
        found = softmax(volume, layout, layout, log=log)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        np.testing.assert_allclose(found, expected.astype(np.float32), rtol=2e-6, atol=2e-6 if log else 1e-44)


def test_special_values():
    inf = np.inf
    volume = np.array([[0, inf, np.nan, -inf, -inf, 3e38], [-inf, 0, 1, -inf, 1, -3e38]], np.float32)
    volume = volume.reshape(2, 1, 1, 6)
    for layout in (FIRST, LAST):
        found = softmax(volume, layout, layout)[:, 0, 0]
        np.testing.assert_array_equal(found, [[1, np.nan, np.nan, np.nan, 0, 1], [0, np.nan, np.nan, np.nan, 1, 0]])
        found = softmax(volume, layout, layout, log=True)[:, 0, 0]
        nan = np.nan
        np.testing.assert_array_equal(found, [[0, nan, nan, nan, -inf, 0], [-inf, nan, nan, nan, 0, -inf]])


@pytest.mark.parametrize("log", [False, True])
def test_every_nan_has_the_same_bits(log):
    strange = np.array([0xFFC00000, 0x7FC00001, 0xFFFFFFFF], np.uint32).view(np.float32)
    volume = np.stack([strange, np.zeros(3, np.float32), strange[::-1]]).reshape(3, 1, 1, 3)
    for layout in (FIRST, LAST):
        found = softmax(volume, layout, layout, log=log)
        assert (found.view(np.uint32) == np.float32(np.nan).view(np.uint32)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_logarithm_is_within_three_units_in_the_last_place(dtype):
    """Of equal channels it is log(C): the sums are whole numbers."""
    for channels in (2, 3, 5, 7, 100, 1000, 4097):
        found = softmax(np.zeros((channels, 1, 1, 2), dtype), log=True)
        expected = -np.log(np.float64(channels))
        assert (np.abs(found - expected) <= 3 * np.finfo(dtype).eps * abs(expected)).all(), channels


def test_rows_longer_than_a_segment_with_gaps():
    volume = np.random.default_rng(5).standard_normal((3, 2, 2, 700)).astype(np.float64)
    gaps = Layout((0, 1, 2, 3), (1, 3, 1, 1), 4)
    assert softmax(volume, gaps, FIRST).tobytes() == softmax(volume, LAST, LAST).tobytes()

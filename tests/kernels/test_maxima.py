"""The largest value of each channel: layouts, boxes, special values."""

import numpy as np
import pytest

from volconv.kernels.maxima import Maxima


def largest(volume, last=False, boxes=None):
    c, d, h, w = volume.shape
    flat = np.ascontiguousarray(volume.transpose(1, 2, 3, 0) if last else volume).ravel()
    steps = (1, h * w * c, w * c, c) if last else (d * h * w, h * w, w, 1)
    maxima = Maxima(volume.dtype.name, c)
    for start, box in boxes or [((0, 0, 0), (d, h, w))]:
        maxima.add(flat, sum(a * s for a, s in zip(start, steps[1:], strict=True)), steps, box)
    return maxima.values()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shift", [-5, 0, 5])
def test_equals_numpys(dtype, last, shift):
    volume = (np.random.default_rng(0).standard_normal((7, 3, 4, 5)) + shift).astype(dtype)
    found = largest(volume, last)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, volume.max(axis=(1, 2, 3)))
    parts = [((z, 0, x), (1, 4, n)) for z in (2, 0, 1) for x, n in ((3, 2), (0, 3))]
    assert largest(volume, last, parts).tobytes() == found.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(dtype):
    quiet = np.array([-np.nan, np.nan], dtype)
    volume = np.array(
        [[-0.0, 0.0], [0.0, -0.0], [-0.0, -0.0], [1, quiet[0]], [np.inf, quiet[1]], [-np.inf, -1], [-np.inf] * 2], dtype
    )
    found = largest(volume.reshape(7, 1, 1, 2))
    np.testing.assert_array_equal(found, np.array([0, 0, -0.0, np.nan, np.nan, -1, -np.inf], dtype))
    assert np.signbit(found[:3]).tolist() == [False, False, True]


def test_states_of_parts_give_the_whole():
    volume = np.random.default_rng(1).standard_normal((3, 4, 5, 6)).astype("f4")
    volume[2, 3, 0, 0] = np.nan
    part, total = Maxima("float32", 3), Maxima("float32", 3)
    for z in (1, 3, 0, 2):
        part.clear()
        part.add(volume.ravel(), z * 30, (120, 30, 6, 1), (1, 5, 6))
        total.merge(part.state())
    np.testing.assert_array_equal(total.values(), volume.max(axis=(1, 2, 3)))

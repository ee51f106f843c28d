import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.engine.arena import View
from volconv.engine.borders import fill_borders as fill
from volconv.region import Region


def fill_borders(values, box, inner, mode, shape, layout="first"):
    """Fill the border of an array (C, d, h, w), kept in either layout, in place."""
    channels, _, h, w = values.shape
    last = layout == "last"
    flat = np.ascontiguousarray(values.transpose(1, 2, 3, 0) if last else values).ravel()
    steps = (1, h * w * channels, w * channels, channels) if last else (values[0].size, h * w, w, 1)
    fill(flat, View(0, steps, box, inner, channels, flat), mode, shape)
    stored = flat.reshape((*values.shape[1:], channels) if last else values.shape)
    values[...] = stored.transpose(3, 0, 1, 2) if last else stored


NUMPY_NAMES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize("mode", NUMPY_NAMES)
@settings(deadline=None)
@given(st.tuples(*[st.integers(4, 6)] * 3), st.tuples(*[st.integers(0, 3)] * 3), st.tuples(*[st.integers(0, 3)] * 3))
def test_borders_are_numpys_pad(mode, layout, shape, low, high):
    values = np.random.default_rng(0).random((2, *shape))
    expected = np.pad(values, ((0, 0), *zip(low, high, strict=True)), mode=NUMPY_NAMES[mode])
    inner = Region.whole(shape)
    box = Region(tuple(-p for p in low), tuple(n + p for n, p in zip(shape, high, strict=True)))
    found = np.full(expected.shape, np.nan)
    found[(slice(None), *inner.slices(box.start))] = values
    fill_borders(found, box, inner, mode, shape, layout)
    np.testing.assert_array_equal(found, expected)


def test_a_box_wholly_outside_is_zero():
    values = np.full((1, 2, 2, 2), np.nan)
    fill_borders(values, Region((-5, 0, 0), (-3, 2, 2)), Region((0, 0, 0), (0, 2, 2)), "zeros", (9, 9, 9))
    assert (values == 0).all()


def test_nothing_is_touched_inside():
    values = np.full((1, 2, 2, 2), 7.0)
    box = Region((1, 1, 1), (3, 3, 3))
    fill_borders(values, box, box, "zeros", (9, 9, 9))
    assert (values == 7).all()


@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_voxels_made_from_others_than_those_filled_are_left(mode):
    # 10 voxels; a reader of [-3, -1) wants 7 and 8 (circular) or 2 and 3 (reflect), and nobody wants what lies between
    inner = Region((7, 0, 0), (9, 1, 1)) if mode == "circular" else Region((2, 0, 0), (4, 1, 1))
    box = Region((-3, 0, 0), (inner.stop[0], 1, 1))
    values = np.full((1, inner.stop[0] + 3, 1, 1), -1.0)
    values[0, inner.start[0] + 3 :, 0, 0] = range(*inner.start[:1], *inner.stop[:1])
    fill_borders(values, box, inner, mode, (10, 1, 1))
    expected = [7, 8] if mode == "circular" else [3, 2]
    assert values[0, :2, 0, 0].tolist() == expected

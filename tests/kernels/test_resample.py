"""Other numbers of voxels, by the kernels alone: layouts, threads, rows cut into parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import jit, naive_resample
from volconv.kernels.resample import Taken, run_linear, run_nearest

from .layouts import FIRST, LAST

SHAPE = (3, 4, 5, 21)


def axis_of(rng, length, count, linear):
    """Places at random, some of them voxels."""
    places = np.sort(np.round(rng.random(count) * (length - 1), rng.integers(0, 3)))
    if not linear:
        return at_places(np.round(places), length)
    return at_places(places, length)


def pairs_of(length, count):
    """As upsampling by two has them: places a quarter of a voxel beside the voxels."""
    return at_places((np.arange(count) - 0.5) / 2, length)


def at_places(places, length):
    held = np.clip(places, 0, length - 1)
    low = held.astype(np.int64)
    return Taken(low, low + (held > low), held - low)


def resampled(volume, layout, axes, linear, threads=1, room=64):
    shape = (volume.shape[0], *(len(axis.low) for axis in axes))
    x, out = layout.lay(volume), layout.lay(np.full(shape, 55, volume.dtype))
    x.flags.writeable = False
    jit.set_threads(threads)
    places = (x, layout.start, layout.steps(volume.shape), out, layout.start, layout.steps(shape), shape[1:], shape[0])
    if linear:
        run_linear(*places, axes, np.zeros(4 * room, volume.dtype), room)
    else:
        run_nearest(*places, [axis.low for axis in axes])
    return layout.view(out, shape).copy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("linear", [False, True])
@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 999),
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 60)),
    st.booleans(),
    st.integers(1, 17),
)
def test_equals_the_naive_twin_in_both_layouts(dtype, linear, seed, counts, paired, channels):
    rng = np.random.default_rng(seed)
    shape = (channels, *SHAPE[1:])
    volume = rng.standard_normal(shape).astype(dtype)
    axes = [axis_of(rng, n, m, linear) for n, m in zip(shape[1:], counts, strict=True)]
    if paired:
        axes[2] = (
            pairs_of(SHAPE[3], counts[2]) if linear else Taken(*[np.arange(counts[2]) // 3] * 2, np.zeros(counts[2]))
        )
    first = resampled(volume, FIRST, axes, linear)
    assert first.tobytes() == resampled(volume, LAST, axes, linear, threads=2).tobytes()
    expected = naive_resample.resample(volume, axes)
    np.testing.assert_allclose(first, expected, rtol=0, atol=(20 * np.finfo(dtype).eps * 5) if linear else 0)


@pytest.mark.parametrize("layout", [FIRST, LAST], ids=["first", "last"])
def test_rows_cut_into_parts_give_the_same(layout):
    volume = np.random.default_rng(2).standard_normal((3, 2, 2, 150)).astype("f4")
    for axis in (pairs_of(150, 300), axis_of(np.random.default_rng(3), 150, 211, True)):
        axes = [pairs_of(2, 4), pairs_of(2, 3), axis]
        whole = resampled(volume, layout, axes, True, room=1024)
        for room in (6, 7, 31, 64, 450):
            assert resampled(volume, layout, axes, True, room=room).tobytes() == whole.tobytes()

"""Windows' largest values and means, by the kernel alone: layouts, steps, parts of a volume."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import jit, naive_pool
from volconv.kernels.pool import Axis, pool_specs, run_pool, vector_step

from .layouts import FIRST, LAST

SHAPE = (5, 4, 7, 45)


def pooled(volume, x_layout, out_layout, shape, axes, mean, threads=1):
    out = out_layout.lay(np.full((volume.shape[0], *shape), 55, volume.dtype))
    x = x_layout.lay(volume)
    x.flags.writeable = False
    jit.set_threads(threads)
    run_pool(
        x, x_layout.start, x_layout.steps(volume.shape), out, out_layout.start,
        out_layout.steps((volume.shape[0], *shape)), shape, volume.shape[0], axes, mean,
    )  # fmt: skip
    return out_layout.view(out, (volume.shape[0], *shape)).copy()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mean", [False, True])
@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(0, 3)] * 3),
    st.tuples(*[st.integers(1, 2)] * 3), st.sampled_from([5, 16, 37]),
)  # fmt: skip
def test_equals_the_naive_twin_in_both_layouts(dtype, mean, kernel, stride, low, dilation, channels):
    volume = np.random.default_rng(0).standard_normal((channels, *SHAPE[1:])).astype(dtype)
    if not mean:
        volume.flat[::97] = np.nan
    shape = tuple(
        max(1, (n + p - d * (k - 1) - 1) // s + 1)
        for n, p, d, k, s in zip(SHAPE[1:], low, dilation, kernel, stride, strict=True)
    )
    axes = [Axis(-p, k, s, d, n, -p, n) for p, k, s, d, n in zip(low, kernel, stride, dilation, SHAPE[1:], strict=True)]
    first = pooled(volume, FIRST, FIRST, shape, axes, mean)
    last = pooled(volume, LAST, LAST, shape, axes, mean, threads=2)
    assert first.tobytes() == last.tobytes()
    if mean:
        expected = naive_pool.avg_pool3d(volume, shape, kernel, stride, (low, (0, 0, 0)), dilation)
        np.testing.assert_allclose(first, expected, rtol=0, atol=40 * np.finfo(dtype).eps)
    else:
        np.testing.assert_array_equal(first, naive_pool.max_pool3d(volume, shape, kernel, stride, low, dilation))


def test_a_part_is_that_of_the_whole_at_every_place():
    volume = np.random.default_rng(1).standard_normal((2, 3, 3, 80)).astype("f4")
    axes = [Axis(-1, 3, 1, 1, n, -1, n + 1) for n in volume.shape[1:]]
    whole = pooled(volume, FIRST, FIRST, volume.shape[1:], axes, True)
    for start in range(0, 80, 7):
        for width in (1, 5, 16, 17, 33):
            part = [*axes[:2], axes[2]._replace(first=start - 1)]
            count = min(width, 80 - start)
            found = pooled(volume, FIRST, FIRST, (3, 3, count), part, True)
            assert found.tobytes() == whole[..., start : start + count].tobytes()


def test_not_a_number_wins_wherever_it_stands():
    for place in range(6):
        volume = np.arange(6, dtype="f4").reshape(1, 1, 1, 6).copy()
        volume[..., place] = np.nan
        axes = [Axis(0, 1, 1, 1, 1, 0, 1)] * 2 + [Axis(0, 6, 1, 1, 6, 0, 6)]
        assert np.isnan(pooled(volume, FIRST, FIRST, (1, 1, 1), axes, False)).all()


def test_kernels_are_named_before_they_are_called():
    assert [vector_step(n) for n in (1, 2, 3, 64)] == [1, 2, 0, 0]
    names = {spec.label for spec in pool_specs("float32", True, (2,))}
    assert len(names) == 2


def test_outputs_apart_are_refused():
    flat = np.zeros(64, "f4")
    axes = [Axis(0, 1, 1, 1, 4, 0, 4)] * 3
    with pytest.raises(ValueError, match="outputs along x 2 elements apart"):
        run_pool(flat, 0, (16, 8, 4, 1), np.zeros(64, "f4"), 0, (32, 16, 8, 2), (1, 1, 4), 1, axes, False)

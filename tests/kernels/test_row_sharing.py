"""Shared loads: every row takes every tap once, in order, from the right place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.kernels.row_sharing import ROWS, pack_shared, share_rows


def walk(sharing, step):
    """Return what each row of the block takes: a list of (tap, offset from the row's own voxel) a row."""
    taken = [[] for _ in range(ROWS)]
    for low, high, first, stop in sharing.runs:
        for load in range(first, stop):
            for row in range(low, high):
                taken[row].append((int(sharing.taps[load, row]), int(sharing.loads[load]) - row * step))
    return taken


def check(taps, steps, box):
    sharing = share_rows(np.array(taps, np.int64), steps, box)
    step = sharing.spacing * steps[0 if sharing.along_z else 1]
    for row in walk(sharing, step):
        assert row == list(enumerate(taps))
    return sharing


@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_kernels_on_a_grid(size, dilation, box) -> None:
    axes = [np.arange(k) * d * s for k, d, s in zip(size, dilation, (10_000, 100, 1), strict=True)]
    check((axes[0][:, None, None] + axes[1][:, None] + axes[2]).ravel().tolist(), (10_000, 100), box)


@given(st.lists(st.integers(-50, 50), max_size=12), st.integers(0, 12), st.integers(0, 5))
def test_any_taps_at_all(taps, z_step, y_step) -> None:
    check(taps, (z_step, y_step), (9, 9))


def test_rows_share_most_loads_of_a_wide_kernel() -> None:
    taps = (np.arange(9)[:, None] * 100 + np.arange(9)).ravel().tolist()
    assert len(check(taps, (10_000, 100), (50, 50)).loads) == 9 * (9 + ROWS - 1)


@pytest.mark.parametrize(("axis", "along_z"), [(0, True), (1, False)])
def test_one_dimensional_filters_share_along_their_axis(axis, along_z) -> None:
    steps = (10_000, 100)
    sharing = check((np.arange(9) * steps[axis] * 2).tolist(), steps, (50, 50))
    assert (sharing.along_z, sharing.spacing) == (along_z, 2)


def test_weights_lie_in_the_order_of_the_loads() -> None:
    sharing = share_rows(np.array([0, 100]), (10_000, 100), (5, 5))
    weights = np.arange(4.0).reshape(1, 2, 2)
    packed = pack_shared(sharing, weights)
    assert packed.shape == (1, 4 * ROWS)
    np.testing.assert_array_equal(np.sort(packed[0]), np.sort(np.repeat(np.arange(4.0), ROWS)))

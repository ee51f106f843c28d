"""Copies into larger volumes by tables: layouts, constants, boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels.pad import NOTHING, run_pad

from .layouts import FIRST, LAST, layouts, run_on, shapes


def padded(volume, tables, x_layout=FIRST, out_layout=FIRST, value=7.5):
    """Run the kernel, and check that nothing else is written."""
    shape = tuple(map(len, tables))

    def kernel(x, x_start, x_steps, out, out_start, out_steps, _box, _channels):
        run_pad(x, x_start, x_steps, out, out_start, out_steps, tables, value)

    out = np.zeros(shape, volume.dtype)
    return run_on(
        lambda _x, _s, _t, *rest: kernel(x_layout.lay(volume), x_layout.start, x_layout.steps(volume.shape), *rest),
        out, FIRST, out_layout,
    )  # fmt: skip


def expected_of(volume, tables, value=7.5):
    taken = volume[np.ix_(*(np.maximum(table, 0) for table in tables))]
    there = np.ix_(*(table != NOTHING for table in tables))
    return np.where(there[0] & there[1] & there[2] & there[3], taken, np.asarray(value, volume.dtype))


@st.composite
def cases(draw):
    shape = draw(shapes)
    tables = []
    for n in shape:
        table = list(range(draw(st.integers(0, n - 1)), n)) * draw(st.integers(0, 1))
        before, after = (draw(st.lists(st.integers(-1, n - 1), max_size=5)) for _ in range(2))
        tables.append(np.array(([*before, *table, *after] or [0]), np.int64))
    return shape, tables


@settings(max_examples=120, deadline=None)
@given(cases(), layouts, layouts, st.sampled_from(["float32", "float64"]))
def test_every_place_holds_its_source(case, x_layout, out_layout, dtype):
    shape, tables = case
    volume = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    found = padded(volume, tables, x_layout, out_layout)
    np.testing.assert_array_equal(found, expected_of(volume, tables))


@pytest.mark.parametrize("layout", [FIRST, LAST])
@pytest.mark.parametrize("shape", [(1, 5, 6, 70), (16, 4, 5, 9), (33, 1, 1, 80)])
def test_whole_rows_inside(shape, layout):
    volume = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    tables = [np.concatenate([[NOTHING], np.arange(n), [n - 1, 0]]) for n in shape]
    np.testing.assert_array_equal(padded(volume, tables, layout, layout), expected_of(volume, tables))


def test_nothing_but_the_constant():
    tables = [np.full(n, NOTHING) for n in (2, 3, 4, 5)]
    assert (padded(np.zeros((1, 1, 1, 1), np.float32), tables, value=-3.25) == -3.25).all()


def test_an_empty_box_writes_nothing():
    out = np.ones(4, np.float32)
    tables = [np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)]
    run_pad(out, 0, (1, 1, 1, 1), out, 0, (1, 1, 1, 1), tables, 0.0)
    assert (out == 1).all()

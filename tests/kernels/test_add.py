"""Sums of volumes and what is done to them before they are stored: layouts, order, channels, bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import naive
from volconv.kernels.add import bind_add
from volconv.kernels.catalog import ACTIVATIONS, Epilogue
from volconv.kernels.pointwise import bind_pointwise

from .layouts import FIRST, LAST, layouts, run_on, shapes
from .test_pointwise import make_epilogue


def volumes(count, shape, dtype="float32"):
    rng = np.random.default_rng((9, count, *shape))
    return [(3 * rng.standard_normal(shape)).astype(dtype) for _ in range(count)]


def add(parts, in_layouts, out_layout=FIRST, epilogue=None):
    """Sum `parts`, each laid in its layout somewhere in one flat array."""
    epilogue, shape = epilogue or Epilogue(), parts[0].shape
    flats = [layout.lay(part) for layout, part in zip(in_layouts, parts, strict=True)]
    starts = np.cumsum([0, *(flat.size for flat in flats[:-1])])
    inputs = [(int(s) + a.start, a.steps(shape)) for s, a in zip(starts, in_layouts, strict=True)]
    together = np.concatenate(flats)
    run = bind_add(epilogue, together.dtype.name).run

    def kernel(_x, _start, _steps, out, out_start, out_steps, box, channels):
        run(together, inputs, out, out_start, out_steps, box, channels)

    return run_on(kernel, parts[0], FIRST, out_layout)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_is_the_sum_in_order(count, dtype):
    parts = volumes(count, (5, 3, 4, 37), dtype)
    expected = parts[0]
    for part in parts[1:]:
        expected = expected + part
    for layout in (FIRST, LAST):
        np.testing.assert_array_equal(add(parts, [layout] * count, layout), expected)
    np.testing.assert_allclose(expected, naive.add(parts), atol=20 * np.finfo(dtype).eps)


@settings(max_examples=60, deadline=None)
@given(shapes, st.lists(layouts, min_size=2, max_size=4), layouts, st.sampled_from(sorted(ACTIVATIONS)), st.booleans())
def test_bits_do_not_depend_on_the_layouts(shape, in_layouts, out_layout, name, affine):
    parts = volumes(len(in_layouts), shape)
    epilogue = make_epilogue(name, shape[0], "float32", affine)
    found = add(parts, in_layouts, out_layout, epilogue)
    assert found.tobytes() == add(parts, [FIRST] * len(parts), FIRST, epilogue).tobytes()
    bare = add(parts, in_layouts)
    assert found.tobytes() == run_on(bind_pointwise(epilogue, "float32").run, bare, FIRST, FIRST).tobytes()


def test_special_values():
    a = np.array([np.inf, np.inf, np.nan, -0.0, 0.0], np.float32).reshape(1, 1, 1, 5)
    b = np.array([1.0, -np.inf, 1.0, -0.0, -0.0], np.float32).reshape(1, 1, 1, 5)
    found = add([a, b], [FIRST, FIRST]).ravel()
    np.testing.assert_array_equal(found, [np.inf, np.nan, np.nan, 0, 0])
    assert np.signbit(found).tolist()[3:] == [True, False]


def test_an_empty_box_writes_nothing():
    out = np.ones(4, np.float32)
    bind_add(Epilogue(), "float32").run(out, [(0, (1, 1, 1, 1))] * 2, out, 0, (1, 1, 1, 1), (0, 2, 2), 1)
    assert (out == 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [1, 2])
def test_of_two_nans_the_first_is_the_sum(dtype, step) -> None:
    for sign, count in itertools.product((1, -1), (1, 3, 16, 37)):
        x = np.repeat(np.copysign(np.nan, np.array([sign, -sign, -sign], dtype)), 80)
        out = np.zeros(count, dtype)
        places = [(0, (0, 0, 0, 1)), (80, (0, 0, 0, step)), (160, (0, 0, 0, 1))]
        bind_add(Epilogue(), dtype).run(x, places, out, 0, (0, 0, 0, 1), (1, 1, count), 1)
        assert np.all(np.isnan(out))
        assert np.all(np.signbit(out) == (sign < 0))

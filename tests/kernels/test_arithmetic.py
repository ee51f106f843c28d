"""Sums, differences, products, quotients: layouts, spread inputs, order, special values, bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import naive_shapes
from volconv.kernels.arithmetic import CODES, bind_arithmetic
from volconv.kernels.catalog import ACTIVATIONS, Epilogue
from volconv.kernels.pointwise import bind_pointwise

from .layouts import FIRST, LAST, layouts, run_on, shapes
from .test_pointwise import make_epilogue

OPERATIONS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


def volumes(shape, spreads, dtype="float32"):
    """Random volumes of `shape`, of length 1 along the axes that each entry of `spreads` names."""
    rng = np.random.default_rng((9, len(spreads), *shape))
    sizes = [[1 if is_spread else n for n, is_spread in zip(shape, spread, strict=True)] for spread in spreads]
    return [(3 * rng.standard_normal(size)).astype(dtype) for size in sizes]


def combine(kind, parts, in_layouts, out_layout=FIRST, epilogue=None):
    """Combine `parts`, each laid in its layout somewhere in one flat array."""
    shape = np.broadcast_shapes(*(part.shape for part in parts))
    flats = [layout.lay(part) for layout, part in zip(in_layouts, parts, strict=True)]
    starts = np.cumsum([0, *(flat.size for flat in flats[:-1])])
    inputs = []
    for part, start, layout in zip(parts, starts, in_layouts, strict=True):
        steps = zip(layout.steps(part.shape), part.shape, shape, strict=True)
        inputs.append((int(start) + layout.start, tuple(0 if n < full else step for step, n, full in steps)))
    together = np.concatenate(flats)
    run = bind_arithmetic(kind, epilogue or Epilogue(), together.dtype.name).run

    def kernel(_x, _start, _steps, out, out_start, out_steps, box, channels):
        run(together, together, inputs, out, out_start, out_steps, box, channels)

    return run_on(kernel, np.zeros(shape, together.dtype), FIRST, out_layout)


def in_order(kind, parts):
    result = parts[0]
    for part in parts[1:]:
        result = OPERATIONS[kind](result, part)
    return result


NONE, VALUES, PLANE = (False,) * 4, (False, True, True, True), (True, True, False, False)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("spreads", [(NONE, NONE), (NONE, VALUES), (VALUES, NONE), (PLANE, NONE, VALUES)])
@pytest.mark.parametrize("kind", CODES)
def test_is_what_numpy_computes_in_order(kind, spreads, dtype):
    parts = volumes((5, 3, 4, 37), spreads, dtype)
    expected = in_order(kind, parts)
    for layout in (FIRST, LAST):
        np.testing.assert_array_equal(combine(kind, parts, [layout] * len(parts), layout), expected)
    np.testing.assert_allclose(expected, naive_shapes.arithmetic(parts, kind), rtol=20 * np.finfo(dtype).eps, atol=1e-5)


spread_axes = st.tuples(*[st.booleans()] * 4)


@settings(max_examples=80, deadline=None)
@given(
    shapes,
    st.lists(st.tuples(layouts, spread_axes), min_size=2, max_size=4),
    layouts,
    st.sampled_from(sorted(CODES)),
    st.sampled_from(sorted(ACTIVATIONS)),
    st.booleans(),
)
def test_bits_do_not_depend_on_the_layouts(shape, inputs, out_layout, kind, name, affine):
    in_layouts, spreads = zip(*inputs, strict=True)
    parts = volumes(shape, spreads)
    full = np.broadcast_shapes(*(part.shape for part in parts))
    epilogue = make_epilogue(name, full[0], "float32", affine)
    found = combine(kind, parts, in_layouts, out_layout, epilogue)
    assert found.tobytes() == combine(kind, parts, [FIRST] * len(parts), FIRST, epilogue).tobytes()
    bare = combine(kind, parts, in_layouts)
    np.testing.assert_array_equal(bare, in_order(kind, parts))
    assert found.tobytes() == run_on(bind_pointwise(epilogue, "float32").run, bare, FIRST, FIRST).tobytes()


@pytest.mark.parametrize("kind", CODES)
def test_special_values_are_ieees(kind):
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, 3e38], np.float32)
    a, b = (part.ravel().reshape(1, 1, 1, -1) for part in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        expected = OPERATIONS[kind](a, b)
    found = combine(kind, [a, b], [FIRST, FIRST])
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", CODES)
def test_of_two_nans_the_left_one_is_the_result(kind, dtype):
    """Which of them a processor keeps depends on the order of operands in machine code."""
    for sign, count, steps in itertools.product((1, -1), (1, 3, 16, 37), itertools.product((0, 1, 2), repeat=2)):
        x = np.repeat(np.copysign(np.nan, np.array([sign, -sign, -sign], dtype)), 80)
        out = np.zeros(count, dtype)
        places = [(0, (0, 0, 0, steps[0])), (80, (0, 0, 0, steps[1])), (160, (0, 0, 0, 1))]
        bind_arithmetic(kind, Epilogue(), dtype).run(x, x, places, out, 0, (0, 0, 0, 1), (1, 1, count), 1)
        assert np.all(np.isnan(out))
        assert np.all(np.signbit(out) == (sign < 0)), (count, steps)


def test_an_empty_box_writes_nothing():
    out = np.ones(4, np.float32)
    bound = bind_arithmetic("mul", Epilogue(), "float32")
    bound.run(out, out, [(0, (1, 1, 1, 1))] * 2, out, 0, (1, 1, 1, 1), (0, 2, 2), 1)
    assert (out == 1).all()

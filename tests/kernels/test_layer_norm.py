"""The norm over the channels of each voxel: layouts, boxes, special values, error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from volconv.kernels import naive_shapes
from volconv.kernels.catalog_memory import layer_norm_elements
from volconv.kernels.jit import thread_count
from volconv.kernels.layer_norm import run_layer_norm

from .layouts import FIRST, LAST, layouts, run_on, shapes


def norm(volume, x_layout=FIRST, out_layout=FIRST, tables=None, eps=1e-5):
    channels, dtype = volume.shape[0], volume.dtype
    tables = tables or (np.ones(channels, dtype), np.zeros(channels, dtype))
    scratch = np.empty(layer_norm_elements(thread_count()), dtype)

    def kernel(x, x_start, x_steps, out, out_start, out_steps, box, _channels):
        run_layer_norm(x, x_start, x_steps, out, out_start, out_steps, box, tables, eps, scratch)

    return run_on(kernel, volume, x_layout, out_layout)


def tables_for(channels, dtype):
    return tuple(np.random.default_rng(5).standard_normal((2, channels)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 50])
def test_equals_the_naive_norm(channels, dtype):
    volume = np.random.default_rng(1).standard_normal((channels, 2, 3, 300)).astype(dtype)
    weight, bias = tables_for(channels, dtype)
    expected = naive_shapes.layer_norm(volume, weight, bias, 1e-5)
    found = norm(volume, tables=(weight, bias))
    exact, eps = volume.astype("f8"), np.finfo(dtype).eps
    deviation = np.sqrt(exact.var(axis=0) + 1e-5)  # what the mean's rounding is divided by
    scale, spread = np.abs(exact).max(axis=0) / deviation, np.abs(exact - exact.mean(axis=0)) / deviation
    weight, bias = (np.abs(table)[:, None, None, None] for table in (weight, bias))
    assert (
        np.abs(found - expected) <= 4 * eps * np.sqrt(channels) * weight * scale * (1 + spread) + 2 * eps * bias
    ).all()


@settings(max_examples=60, deadline=None)
@given(shapes, layouts, layouts)
def test_bits_do_not_depend_on_the_layout(shape, x_layout, out_layout):
    volume = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    tables = tables_for(shape[0], np.float32)
    assert norm(volume, x_layout, out_layout, tables).tobytes() == norm(volume, tables=tables).tobytes()


def test_bits_do_not_depend_on_the_box():
    volume = np.random.default_rng(3).standard_normal((7, 2, 3, 301)).astype(np.float32)
    whole = norm(volume, LAST)
    parts = [norm(np.ascontiguousarray(volume[..., i : i + 50])) for i in range(0, 301, 50)]
    assert np.concatenate(parts, -1).tobytes() == whole.tobytes()


def test_sums_run_over_channels_in_order():
    one, tiny = np.float32(1), np.float32(2.0**-24)
    rising = np.array([one, tiny, tiny, -one], np.float32).reshape(4, 1, 1, 1)
    total = np.float32(0)
    for value in rising.ravel():
        total += value
    mean = total / np.float32(4)
    assert mean == 0
    with np.errstate(all="ignore"):
        found = norm(rising, eps=1.0).ravel()
    np.testing.assert_allclose(found, rising.ravel() / np.sqrt(1.5), rtol=1e-6)


def test_equal_channels_give_the_bias():
    volume = np.full((4, 1, 2, 5), 3.0, np.float32)
    weight, bias = tables_for(4, np.float32)
    np.testing.assert_array_equal(
        norm(volume, tables=(weight, bias)), np.broadcast_to(bias[:, None, None, None], volume.shape)
    )


def test_special_values_stay_in_their_voxel():
    volume = np.random.default_rng(3).standard_normal((3, 1, 1, 40)).astype(np.float32)
    volume[1, 0, 0, 7], volume[2, 0, 0, 20] = np.nan, np.inf
    found = norm(volume)
    assert np.isnan(found[..., [7, 20]]).all()
    others = np.delete(np.arange(40), [7, 20])
    clean = volume.copy()
    clean[..., [7, 20]] = 0
    assert found[..., others].tobytes() == norm(clean)[..., others].tobytes()


def test_an_empty_box_writes_nothing():
    out = np.ones(4, np.float32)
    run_layer_norm(out, 0, (1, 1, 1, 1), out, 0, (1, 1, 1, 1), (0, 2, 2), (out[:1], out[:1]), 0.0, out)
    assert (out == 1).all()

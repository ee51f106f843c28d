"""Scale, shift and activation as a stage of its own: layouts, channels, tiles, bits."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import jit, naive
from volconv.kernels.catalog import ACTIVATIONS, Epilogue
from volconv.kernels.pointwise import bind_pointwise

from .layouts import FIRST, LAST, layouts, run_on, shapes

PARAMETERS = {"leaky_relu": (0.1,), "elu": (1.3,), "softplus": (1.5, 20.0), "clip": (-0.5, 0.75), "threshold": (0.3,)}


def make_epilogue(name, channels, dtype, affine):
    rng = np.random.default_rng(4)
    scale, shift, slope = rng.standard_normal((3, channels)).astype(dtype)
    return Epilogue(
        scale if affine else None,
        shift if affine else None,
        name,
        PARAMETERS.get(name, ()),
        slope if name == "prelu" else None,
    )


def expected(epilogue, volume):
    if epilogue.scale is not None:
        volume = naive.affine(volume, epilogue.scale, epilogue.shift)
    return naive.activation(volume, epilogue.activation, epilogue.parameters, epilogue.slope)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equals_the_naive_twin(name, affine, dtype):
    volume = (3 * np.random.default_rng(5).standard_normal((5, 3, 4, 37))).astype(dtype)
    epilogue = make_epilogue(name, 5, dtype, affine)
    run = bind_pointwise(epilogue, dtype).run
    results = [run_on(run, volume, a, b) for a in (FIRST, LAST) for b in (FIRST, LAST)]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(results[0], expected(epilogue, volume), rtol=20 * eps, atol=40 * eps)
    assert len({r.tobytes() for r in results}) == 1


@settings(max_examples=80, deadline=None)
@given(shapes, layouts, layouts, st.sampled_from(sorted(ACTIVATIONS)), st.booleans())
def test_bits_do_not_depend_on_the_layout(shape, x_layout, out_layout, name, affine):
    volume = (3 * np.random.default_rng(6).standard_normal(shape)).astype(np.float32)
    run = bind_pointwise(make_epilogue(name, shape[0], "float32", affine), "float32").run
    assert run_on(run, volume, x_layout, out_layout).tobytes() == run_on(run, volume, FIRST, FIRST).tobytes()


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "softplus", "tanh", "selu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_place_in_a_row(name, dtype):
    """A loop's vector body and its remainder give the same: every length from 1 on."""
    values = (4 * np.random.default_rng(7).standard_normal((1, 1, 1, 67))).astype(dtype)
    run = bind_pointwise(make_epilogue(name, 1, dtype, True), dtype).run
    whole = run_on(run, values, FIRST, FIRST)
    for stop in range(1, 67):
        for part in (slice(0, stop), slice(stop, 67)):
            assert (
                run_on(run, np.ascontiguousarray(values[..., part]), FIRST, FIRST).tobytes()
                == whole[..., part].tobytes()
            )


@pytest.mark.parametrize("layout", [FIRST, LAST])
def test_runs_in_place(layout):
    volume = np.random.default_rng(8).standard_normal((3, 4, 5, 600)).astype(np.float32)
    bound = bind_pointwise(make_epilogue("elu", 3, "float32", True), "float32")
    flat, steps = layout.lay(volume), layout.steps(volume.shape)
    bound.run(flat, 0, steps, flat, 0, steps, volume.shape[1:], 3)
    assert np.array_equal(layout.view(flat, volume.shape), run_on(bound.run, volume, layout, FIRST))


def test_channels_beyond_the_tables_do_no_harm():
    """Channels-last buffers are padded to whole vectors, and the padding is computed along."""
    volume = np.random.default_rng(9).standard_normal((8, 2, 3, 50)).astype(np.float32)
    bound = bind_pointwise(make_epilogue("prelu", 5, "float32", True), "float32")
    got = run_on(bound.run, volume, LAST, LAST)
    assert np.array_equal(got[:5], run_on(bound.run, np.ascontiguousarray(volume[:5]), FIRST, FIRST))


def test_without_scale_the_value_is_untouched():
    volume = np.array([-0.0, np.nan, np.inf, 1e-45], np.float32).reshape(1, 1, 1, 4)
    assert run_on(bind_pointwise(Epilogue(), "float32").run, volume, FIRST, LAST).tobytes() == volume.tobytes()


def test_bits_do_not_depend_on_threads_or_the_calling_thread():
    volume = np.random.default_rng(10).standard_normal((6, 20, 30, 40)).astype(np.float32)
    bound = bind_pointwise(make_epilogue("gelu", 6, "float32", True), "float32")
    results = []
    before = jit.thread_count()
    try:
        for count in (1, 2):
            jit.set_threads(count)
            workers = [threading.Thread(target=lambda: results.append(run_on(bound.run, volume, LAST, FIRST)))] * 1
            for worker in workers:
                worker.start()
                worker.join()
    finally:
        jit.set_threads(before)
    assert results[0].tobytes() == results[1].tobytes()

"""Convolution kernels: close to float64, and the same bits however a volume is laid out, cut and shared."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.conv_cases import check_close, cut_boxes, make_case, other_kernel, run
from volconv.kernels import jit
from volconv.kernels.catalog import ACTIVATIONS, ConvShape, Epilogue, choose_conv
from volconv.kernels.conv import bind_conv, kernel_specs
from volconv.kernels.conv_pack import align_values
from volconv.kernels.pointwise import bind_pointwise

LAYERS = {
    "few": make_case(5, 5, (3, 3, 3), (3, 4, 70), dilation=(1, 2, 4)),
    "one to one": make_case(1, 1, (3, 5, 2), (4, 3, 150)),
    "w only": make_case(1, 1, (1, 1, 9), (2, 3, 40)),
    "depthwise": make_case(6, 6, (3, 3, 3), (3, 5, 33), groups=6),
    "depthwise of many": make_case(32, 32, (3, 2, 3), (3, 5, 35), groups=32),
    "depthwise, stride 2": make_case(48, 48, (3, 3, 3), (3, 2, 9), groups=48, stride=(2, 2, 2)),
    "depthwise, dilated": make_case(32, 32, (2, 3, 3), (2, 3, 9), groups=32, dilation=(1, 3, 2), dtype="float64"),
    "pointwise to one": make_case(16, 1, (1, 1, 1), (3, 2, 50)),
    "many": make_case(7, 32, (3, 2, 3), (2, 5, 9)),
    "many, not a multiple": make_case(3, 90, (2, 1, 2), (2, 3, 5)),
    "long sums": make_case(128, 32, (3, 3, 3), (2, 2, 3)),
    "groups of many": make_case(6, 64, (2, 2, 2), (3, 2, 7), groups=2),
    "groups of few": make_case(8, 10, (1, 2, 3), (2, 3, 20), groups=2),
    "stride 2, many": make_case(4, 32, (3, 3, 3), (2, 3, 11), stride=(2, 2, 2)),
    "stride 2, few": make_case(4, 5, (3, 3, 3), (2, 3, 40), stride=(1, 2, 2)),
    "stride 3": make_case(2, 5, (3, 3, 3), (2, 3, 20), stride=(3, 3, 3)),
    "one voxel": make_case(2, 5, (1, 1, 1), (1, 1, 1)),
    "float64, few": make_case(3, 5, (3, 3, 3), (2, 3, 20), dtype="float64"),
    "float64, many": make_case(3, 32, (3, 3, 3), (2, 3, 4), dtype="float64"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS.keys())
def test_error_is_that_of_one_rounding_a_product(case) -> None:
    check_close(case, run(case, choose_conv(case.shape)))


@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS.keys())
def test_both_layouts_give_the_same_bits(case) -> None:
    kernel = choose_conv(case.shape)
    other = other_kernel(kernel, case.shape)
    if other.writes == "last" and case.shape.groups > 1 and case.shape.group_outputs % other.lanes:
        pytest.skip("vectors of channels cannot straddle groups")
    np.testing.assert_array_equal(run(case, kernel), run(case, other))


@pytest.mark.slow
@pytest.mark.parametrize("bits", [256, 128])
@pytest.mark.parametrize("name", ["few", "one to one", "many", "depthwise of many", "float64, few"])
def test_narrower_vectors_give_the_same_bits(name, bits) -> None:
    case = LAYERS[name]
    np.testing.assert_array_equal(run(case, choose_conv(case.shape)), run(case, choose_conv(case.shape, bits)))


@settings(max_examples=60, deadline=None)
@given(
    layer=st.sampled_from(["few", "many", "one to one", "stride 2, few", "depthwise of many", "float64, few"]),
    box=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 150)),
    kernel_size=st.tuples(*[st.integers(1, 4)] * 3),
    dilation=st.tuples(*[st.integers(1, 3)] * 3),
    cuts=st.tuples(*[st.integers(0, 200)] * 3),
    threads=st.integers(1, 4),
    spread=st.integers(0, 3),
    reads=st.sampled_from(["first", "last"]),
    out_step=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_any_layer_box_layout_and_thread_count_gives_the_same_bits(
    layer, box, kernel_size, dilation, cuts, threads, spread, reads, out_step, seed
) -> None:
    model = LAYERS[layer]
    shape = replace(model.shape, taps=int(np.prod(kernel_size)))
    case = replace(model, shape=shape, box=box, kernel_size=kernel_size, dilation=dilation, seed=seed)
    kernel = choose_conv(shape)
    plain = run(case, kernel)
    check_close(case, plain)
    before = jit.thread_count()
    jit.set_threads(threads)
    try:
        cut = run(case, kernel, boxes=cut_boxes(box, cuts), spread=spread, reads=reads, out_step=out_step)
    finally:
        jit.set_threads(before)
    np.testing.assert_array_equal(plain, cut)


@pytest.mark.parametrize("name", ["few", "many", "one to one"])
def test_nan_and_infinity_reach_only_the_voxels_whose_window_holds_them(name) -> None:
    case = LAYERS[name]
    kernel = choose_conv(case.shape)
    x = case.x
    clean = run(case, kernel)
    x[0, 1, 1, 5] = np.nan
    hit = np.zeros(case.box, bool)
    for place in case.places:
        voxel = np.array([1, 1, 5]) - place
        if np.all(voxel >= 0) and np.all(voxel < case.box):
            hit[tuple(voxel)] = True

    class Spoilt(type(case)):
        @property
        def x(self):
            return x

    got = run(Spoilt(**vars(case)), kernel)
    assert np.all(np.isnan(got[:, hit]))
    np.testing.assert_array_equal(got[:, ~hit], clean[:, ~hit])


@pytest.mark.slow
@pytest.mark.parametrize("writes", ["first", "last"])
@pytest.mark.parametrize("activation", ["relu", "clip", "leaky_relu", "prelu", "silu", "elu", "softplus"])
def test_fused_epilogue_gives_the_bits_of_the_stage_of_its_own(activation, writes) -> None:
    case = make_case(3, 5, (3, 1, 3), (2, 3, 40)) if writes == "first" else make_case(3, 32, (3, 1, 3), (2, 3, 9))
    channels = case.shape.out_channels
    kernel = choose_conv(case.shape)
    parameters = tuple((-0.3, 0.7)[: len(ACTIVATIONS[activation])])
    slope = np.linspace(-1, 2, channels).astype("float32") if activation == "prelu" else None
    scale, shift = case.bias[::-1].copy(), case.bias * 2
    epilogue = Epilogue(scale, shift, activation, parameters, slope)
    plain = run(case, kernel)
    wanted = np.empty_like(plain).reshape(-1)
    steps = (int(np.prod(case.box)), case.box[1] * case.box[2], case.box[2], 1)
    bind_pointwise(epilogue, "float32").run(plain.reshape(-1), 0, steps, wanted, 0, steps, case.box, channels)
    got = run(case, kernel, epilogue=epilogue)
    np.testing.assert_array_equal(got, wanted.reshape(plain.shape))
    np.testing.assert_array_equal(run(case, kernel, epilogue=epilogue, out_step=2), got)


def test_bounds_let_nan_through() -> None:
    shape = ConvShape(1, 1, 1, 1)
    bound = bind_conv(choose_conv(shape), shape, np.ones((1, 1, 1)), None, Epilogue(activation="relu"))
    x, out = np.zeros(4096 + 8, "float32"), np.zeros(8, "float32")
    x[:4] = np.nan, -1, 2, -np.inf
    bound.run(x, 0, (8, 8, 8, 1), np.zeros(1, np.int64), out, 0, (8, 8, 8, 1), (1, 1, 4))
    np.testing.assert_array_equal(out[:4], [np.nan, 0, 2, 0])


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [1, 5, 32])
def test_strides_beyond_the_slack_behind_the_input(outputs) -> None:
    case = make_case(1, outputs, (1, 1, 2), (1, 2, 3), stride=(1, 1, 3000))
    check_close(case, run(case, choose_conv(case.shape)))


@pytest.mark.parametrize("outputs", [1, 5, 32])
def test_a_phase_without_taps_gives_the_bias(outputs) -> None:
    case = make_case(3, outputs, (0, 1, 1), (2, 3, 4))
    got = run(replace(case, kernel_size=(0, 1, 1)), choose_conv(case.shape))
    np.testing.assert_array_equal(got, np.broadcast_to(case.bias.reshape(-1, 1, 1, 1), got.shape))


def test_an_empty_box_is_no_work() -> None:
    case = LAYERS["few"]
    bound = bind_conv(choose_conv(case.shape), case.shape, case.weights)
    out = np.full(4, 7, "float32")
    bound.run(out, 0, (1, 1, 1, 1), np.zeros(27, np.int64), out, 0, (1, 1, 1, 1), (0, 3, 3))
    assert np.all(out == 7)


def test_kernel_specs_name_all_that_binding_compiles() -> None:
    case = LAYERS["few"]
    specs = kernel_specs(choose_conv(case.shape), case.shape, Epilogue())
    bind_conv(choose_conv(case.shape), case.shape, case.weights)
    assert jit.missing(specs) == []


def test_weights_of_another_shape_are_refused() -> None:
    case = LAYERS["few"]
    with pytest.raises(ValueError, match=r"expected \(5, 5, 27\)"):
        bind_conv(choose_conv(case.shape), case.shape, case.weights[1:])


@pytest.mark.slow
def test_without_fused_instructions_sums_are_multiplied_and_added(tmp_path) -> None:
    code = """
import numpy as np
import volconv.kernels.catalog as catalog
catalog.has_fma = lambda: False
from tests.kernels.conv_cases import check_close, make_case, run
case = make_case(3, 5, (2, 1, 3), (2, 3, 20))
got = run(case, catalog.choose_conv(case.shape, 128))
check_close(case, got)
want = np.zeros_like(got)
for t, (z, y, x) in enumerate(case.places):
    for c in range(3):
        read = case.x[c, z : z + 2, y : y + 3, x : x + 20]
        want += case.weights[:, c, t].reshape(-1, 1, 1, 1) * read
assert np.array_equal(got, want + case.bias.reshape(-1, 1, 1, 1))
"""
    # A cache of its own: the key of the usual one holds the processor's features.
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_larger_than_caches_have_the_bits_of_small_ones(dtype) -> None:
    shape = ConvShape(2, 32, 1, 1, dtype)
    kernel = choose_conv(shape)
    case = make_case(2, 32, (1, 1, 1), (64, 65, 70), dtype=dtype)
    bound = bind_conv(kernel, shape, case.weights, case.bias, Epilogue(activation="relu"))
    x = np.concatenate([case.x.transpose(1, 2, 3, 0).ravel(), np.zeros(4096, dtype)])
    steps = (1, 65 * 70 * 2, 70 * 2, 2), (1, 65 * 70 * 32, 70 * 32, 32)
    whole, parts = (align_values(np.zeros(64 * 65 * 70 * 32, dtype)) for _ in range(2))
    taps = np.zeros(1, np.int64)
    bound.run(x, 0, steps[0], taps, whole, 0, steps[1], case.box)
    for z in range(64):
        bound.run(x, z * steps[0][1], steps[0], taps, parts, z * steps[1][1], steps[1], (1, 65, 70))
    np.testing.assert_array_equal(whole, parts)

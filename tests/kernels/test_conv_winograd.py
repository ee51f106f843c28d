"""Winograd's algorithm: right to its bound, the same bits however a volume is cut, and no spread of NaN or infinity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from volconv.kernels import jit
from volconv.kernels.bound_winograd import place_tiles, transform_weights
from volconv.kernels.catalog import ACTIVATIONS, ConvShape, Epilogue, choose_conv
from volconv.kernels.catalog_memory import packed_bytes, scratch_bytes
from volconv.kernels.conv import bind_conv, kernel_specs

from .conv_cases import SLACK, Case, exact, store_residual

C = 8
"""Errors stay below C * eps * sum over channels of (largest input of the window) * (sum of the taps' magnitudes)."""


def make_case(inputs, outputs, box, dilation=(1, 1, 1), dtype="float32", seed=0, kernel_size=None) -> Case:
    """Return a case of tiles of 2 x 2 x 2 outputs, or, given a kernel's size, of pairs of rows."""
    size = kernel_size or (3, 3, 3)
    reach = tuple(d * (k - 1) for d, k in zip(dilation[1:], size[1:], strict=True))
    algorithm = "winograd1d" if kernel_size else "winograd"
    shape = ConvShape(inputs, outputs, 1, int(np.prod(size)), dtype, 1, algorithm, size[1], reach)
    return Case(shape, size, box, dilation, seed=seed)


def run(
    case, *, x=None, part=None, origin=(0, 0, 0), epilogue=None, bits=None, scratch=None, weights=None, residual=None
):
    """Compute `part` (start, stop) of the case's box, which begins at `origin` of the whole output."""
    kernel = choose_conv(case.shape, bits)
    bound = bind_conv(kernel, case.shape, case.weights if weights is None else weights, case.bias, epilogue)
    start, stop = part or ((0, 0, 0), case.box)
    x = case.x if x is None else x
    reach = [d * (k - 1) for d, k in zip(case.dilation, case.kernel_size, strict=True)]
    window = tuple(slice(a, b + r) for a, b, r in zip(start, stop, reach, strict=True))
    box = [b - a for a, b in zip(start, stop, strict=True)]
    stored = -(-case.shape.out_channels // kernel.channel_multiple) * kernel.channel_multiple
    order = (1, 2, 3, 0) if kernel.writes == "last" else (0, 1, 2, 3)
    x = np.ascontiguousarray(x[(slice(None), *window)].transpose(order))
    room = np.full(x.size + SLACK, np.nan, x.dtype)  # nothing beyond the window may matter
    room[: x.size] = x.ravel()
    out = np.full([(stored, *box)[axis] for axis in order], np.nan, x.dtype)
    back = np.argsort(order)
    steps, out_steps = (np.array(a.strides)[back] // a.itemsize for a in (x, out))
    taps = (case.places * steps[1:]).sum(1)
    place = [o + a for o, a in zip(origin, start, strict=True)]
    flat = out.ravel()
    other = None
    if residual is not None:
        part = residual[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))]
        other = store_residual(part, kernel, 2)
    bound.run(room, 0, tuple(steps), taps, flat, 0, tuple(out_steps), box, place, scratch, other)
    return flat.reshape(out.shape).transpose(back)[: case.shape.out_channels]


def bound_of(case):
    """Return eps * sum over channels of the window's largest input times the sum of the taps' magnitudes."""
    x, weights = abs(case.x.astype(float)), abs(case.weights.astype(float))
    windows = [
        x[(slice(None), *(slice(p, p + n) for p, n in zip(place, case.box, strict=True)))] for place in case.places
    ]
    return np.finfo(case.shape.dtype).eps * np.einsum("cdhw,oc->odhw", np.max(windows, axis=0), weights.sum(2))


# few kernels, since compiling each takes seconds: blocks of one, two and three vectors of channels, or of few channels
tiles = st.builds(
    lambda inputs, kind, *rest: make_case(inputs, kind[0], *rest[:2], kind[1], rest[2]),
    st.sampled_from([1, 5, 16, 21, 40]),
    st.sampled_from([(12, "float32"), (33, "float32"), (70, "float32"), (9, "float64")]),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.integers(0, 99),
)
pairs = st.builds(
    lambda inputs, kind, *rest: make_case(inputs, kind[0], *rest[:2], kind[1], *rest[2:]),
    st.integers(1, 13),
    st.sampled_from([(5, "float32"), (13, "float32"), (8, "float32"), (5, "float64")]),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 5, 16, 17, 70, 300])),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.integers(0, 99),
    st.sampled_from([(3, 3, 3), (3, 1, 1), (3, 5, 2), (3, 2, 4)]),
)
cases = tiles | pairs


@pytest.mark.slow
@given(cases)
@example(make_case(1, 13, (1, 1, 16), (4, 1, 1), "float32", 8, kernel_size=(3, 1, 1)))
@settings(max_examples=60, deadline=None)
def test_errors_stay_below_the_bound(case) -> None:
    want, _ = exact(case)
    got = run(case)
    # the bound is of the sums: the bias is added to them, and rounded once; in float64 the oracle rounds as well
    ulps = 8 if case.shape.dtype == "float64" else 0.5
    assert np.all(abs(got - want) <= C * bound_of(case) + ulps * np.finfo(case.shape.dtype).eps * abs(want))


@pytest.mark.slow
@given(cases, st.tuples(*[st.integers(-9, 9)] * 3), st.data())
@settings(max_examples=60, deadline=None)
def test_a_part_has_the_bits_of_the_whole(case, origin, data) -> None:
    whole = run(case, origin=origin)
    start = [data.draw(st.integers(0, n - 1)) for n in case.box]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, case.box, strict=True)]
    inside = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    np.testing.assert_array_equal(run(case, part=(start, stop), origin=origin), whole[(slice(None), *inside)])


CASES = {
    "13": make_case(18, 13, (7, 5, 9), (1, 2, 1)),
    "32": make_case(18, 32, (7, 5, 9), (1, 2, 1)),
    "few": make_case(5, 5, (7, 15, 39), (1, 2, 1), kernel_size=(3, 3, 3)),
    "few, many rows": make_case(4, 5, (2, 90, 19), kernel_size=(3, 3, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_threads_and_vector_widths_give_the_same_bits(case) -> None:
    whole = run(case)
    before = jit.thread_count()
    try:
        jit.set_threads(1)
        np.testing.assert_array_equal(run(case), whole)
    finally:
        jit.set_threads(before)
    for bits in (128, 256, 512):
        np.testing.assert_array_equal(run(case, bits=bits), whole)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_more_threads_than_there_is_memory_for(case) -> None:
    whole, before = run(case), jit.thread_count()
    bound = bind_conv(choose_conv(case.shape), case.shape, case.weights)
    room = np.full(4 * bound.scratch_elements(1), 7, case.shape.dtype)
    mine = room[: bound.scratch_elements(1)]
    try:
        jit.set_threads(4)  # as another run in this process may, while one for a single thread is under way
        np.testing.assert_array_equal(run(case, scratch=mine), whole)
    finally:
        jit.set_threads(before)
    assert np.all(room[mine.size :] == 7)


@pytest.mark.parametrize("lead", [0, 1, 7, 15, 16, 21])
@pytest.mark.parametrize("multiple", [True, False])
def test_rows_of_pairs_may_begin_anywhere_in_a_vector(lead, multiple) -> None:
    case = make_case(5, 5, (3, 4, 70), (1, 2, 4), kernel_size=(3, 3, 3))
    x = case.x
    x[3, 2, 5, 9] = np.inf  # its outputs are summed directly
    want = run(case, x=x)
    row = -(-(lead + x.shape[3]) // 16) * 16 + (0 if multiple else 3)
    room = np.full((*x.shape[:3], row), np.nan, np.float32)  # nothing beside a row may matter
    room[..., lead : lead + x.shape[3]] = x
    flat = np.concatenate([room.ravel(), np.full(SLACK, np.nan, np.float32)])
    steps = tuple(step // 4 for step in room.strides)
    out = np.full(want.shape, np.nan, np.float32)
    bound = bind_conv(choose_conv(case.shape), case.shape, case.weights, case.bias)
    taps = (case.places * steps[1:]).sum(1)
    bound.run(flat, lead, steps, taps, out.reshape(-1), 0, tuple(s // 4 for s in out.strides), case.box)
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel_size", [None, (3, 3, 3), (3, 2, 4)])
def test_what_is_not_finite_reaches_its_own_windows_alone(bad, kernel_size) -> None:
    case = make_case(8, 7 if kernel_size else 17, (6, 7, 5), (1, 2, 1), kernel_size=kernel_size)
    clean, x = run(case), case.x.copy()
    x[3, 4, 5, 2] = bad
    x[7, 1, 8, 6] = bad
    reached = np.zeros(case.box, bool)
    for place in case.places:
        part = tuple(slice(p, p + n) for p, n in zip(place, case.box, strict=True))
        reached |= ~np.isfinite(x[(slice(None), *part)]).all(0)
    got = run(case, x=x)
    np.testing.assert_array_equal(got[:, ~reached], clean[:, ~reached])
    assert not np.isfinite(got[:, reached]).any()
    with np.errstate(invalid="ignore"):
        parts = [tuple(slice(p, p + n) for p, n in zip(place, case.box, strict=True)) for place in case.places]
        want = sum(
            (case.weights[:, :, t, None, None, None].astype(float) * x[(slice(None), *part)]).sum(1)
            for t, part in enumerate(parts)
        )
    np.testing.assert_array_equal(np.isposinf(got), np.isposinf(want))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want))


def test_inputs_near_the_largest_number_are_summed_directly() -> None:
    case = make_case(12, 12, (4, 4, 4))
    x = np.full(case.x.shape, 1.5e38, np.float32)
    weights = np.zeros(case.weights.shape, np.float32)
    weights[:, 0, 13] = 1
    bound = bind_conv(choose_conv(case.shape), case.shape, weights)
    flat = np.concatenate([x.transpose(1, 2, 3, 0).ravel(), np.zeros(SLACK, np.float32)])
    out = np.zeros(4 * 4 * 4 * 16, np.float32)
    taps = (case.places * np.array([6 * 6 * 12, 6 * 12, 12])).sum(1)
    bound.run(flat, 0, (1, 6 * 6 * 12, 6 * 12, 12), taps, out, 0, (1, 256, 64, 16), (4, 4, 4))
    np.testing.assert_array_equal(out.reshape(64, 16)[:, :12], np.float32(1.5e38))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "clip", "leaky_relu", "prelu", "sigmoid"])
@pytest.mark.parametrize("kernel_size", [None, (3, 3, 3)])
def test_the_epilogue_follows_the_sum(activation, kernel_size) -> None:
    case = make_case(6, 20, (5, 4, 6), kernel_size=kernel_size)
    parameters = {"clip": (-0.5, 0.75), "leaky_relu": (0.1,)}
    slope = np.linspace(0, 1, 20).astype("f4") if activation == "prelu" else None
    scale, shift = (np.random.default_rng(n).standard_normal(20).astype("f4") for n in (4, 5))
    epilogue = Epilogue(scale, shift, activation, parameters.get(activation, ()), slope)
    assert activation in ACTIVATIONS
    got = run(case, epilogue=epilogue)
    plain = run(case, epilogue=Epilogue(scale, shift))
    want, _ = exact(case)
    np.testing.assert_allclose(plain, want * scale[:, None, None, None] + shift[:, None, None, None], atol=2e-4)
    v = plain.astype(float)
    expected = {
        "relu": lambda: np.maximum(v, 0), "clip": lambda: np.clip(v, -0.5, 0.75),
        "leaky_relu": lambda: np.where(v > 0, v, 0.1 * v),
        "prelu": lambda: np.where(v > 0, v, np.linspace(0, 1, 20)[:, None, None, None] * v),
        "sigmoid": lambda: 1 / (1 + np.exp(-v)),
    }[activation]()  # fmt: skip
    np.testing.assert_allclose(got, expected, rtol=3e-6, atol=1e-6)


@given(st.integers(-40, 40), st.integers(1, 30), st.integers(1, 9))
def test_tiles_cover_each_output_once(start, count, dilation) -> None:
    table = place_tiles(start, count, dilation, 1, 1)
    outputs = table[:, 4:]
    stored = outputs[outputs >= 0]
    np.testing.assert_array_equal(np.sort(stored), np.arange(count))
    for half in range(2):
        rows = outputs[:, half] >= 0
        for tap in range(3):
            np.testing.assert_array_equal(table[rows, half + tap], outputs[rows, half] + tap * dilation)
        assert np.all((outputs[rows, half] + start) // dilation % 2 == half)
    assert table[:, :4].min() >= 0
    assert table[:, :4].max() < count + 2 * dilation


def test_transformed_weights_are_exact_for_small_integers() -> None:
    weights = np.random.default_rng(0).integers(-8, 8, (2, 3, 27)).astype(np.float32)
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    want = np.einsum("ai,bj,ck,nmijk->nmabc", g, g, g, weights.reshape(2, 3, 3, 3, 3))
    np.testing.assert_array_equal(transform_weights(weights), want.reshape(2, 3, 64))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel_size", [None, (3, 3, 3)])
def test_weights_whose_sums_overflow_are_used_directly(dtype, kernel_size) -> None:
    case = make_case(12, 12, (3, 4, 5), dtype=dtype, kernel_size=kernel_size)
    x, largest = np.zeros_like(case.x), np.finfo(dtype).max
    x[2, 2, 2, 2] = 0.5
    got = run(case, x=x, weights=np.full_like(case.weights, largest))
    reached = np.any([(np.indices(case.box).T + place == 2).all(-1).T for place in case.places], axis=0)
    want = np.where(reached, largest / 2, 0) + case.bias[:, None, None, None]
    np.testing.assert_array_equal(got, want.astype(dtype))


@pytest.mark.parametrize("kernel_size", [None, (3, 3, 3), (3, 2, 5)])
@pytest.mark.parametrize("shape", [(12, 12), (16, 32), (21, 70), (128, 64)])
def test_the_plan_knows_what_is_kept(shape, kernel_size) -> None:
    case = make_case(*shape, (3, 3, 3), kernel_size=kernel_size)
    kernel = choose_conv(case.shape)
    bound = bind_conv(kernel, case.shape, case.weights, case.bias)
    assert 0 <= packed_bytes(kernel, case.shape) - bound.nbytes <= packed_bytes(kernel, case.shape) / 50 + 400
    (spec,) = kernel_specs(kernel, case.shape, Epilogue())
    assert spec.name == ("conv_pairs.conv" if kernel_size else "conv_winograd.conv")
    assert bound.scratch_elements(3) == 3 * bound.scratch_elements(1) > 0
    assert scratch_bytes(kernel, case.shape, 3) == 4 * bound.scratch_elements(3)


def test_no_box_no_work() -> None:
    case = make_case(12, 12, (3, 3, 3))
    out = np.full(16, 7, np.float32)
    bound = bind_conv(choose_conv(case.shape), case.shape, case.weights)
    bound.run(np.zeros(SLACK, np.float32), 0, (1, 1, 1, 1), np.arange(27), out, 0, (1, 1, 1, 1), (0, 3, 3))
    assert np.all(out == 7)

"""What a convolution adds in registers gives the bits of a sum of its own, wherever it lies and however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import jit
from volconv.kernels.catalog import Epilogue, choose_conv
from volconv.kernels.conv import bind_conv, kernel_specs
from volconv.kernels.pointwise import bind_pointwise

from . import test_conv_winograd as fast
from .conv_cases import cut_boxes, make_case, run

DIRECT = {
    "first": make_case(5, 5, (3, 3, 3), (3, 4, 70)),
    "first, stride 2": make_case(4, 5, (3, 3, 3), (2, 3, 40), stride=(1, 2, 2)),
    "rows": make_case(2, 1, (3, 5, 2), (4, 3, 150)),
    "depthwise": make_case(48, 48, (3, 2, 3), (3, 5, 35), groups=48),
    "last": make_case(7, 32, (3, 2, 3), (2, 5, 9)),
    "last, not a multiple": make_case(3, 90, (2, 1, 2), (2, 3, 5)),
    "last, grouped": make_case(6, 64, (2, 2, 2), (3, 2, 7), groups=2),
    "last, float64": make_case(3, 32, (3, 3, 3), (2, 3, 4), dtype="float64"),
}
FAST = {
    "winograd": fast.make_case(21, 33, (4, 5, 7)),
    "winograd, dilated": fast.make_case(5, 12, (6, 5, 7), (2, 1, 3)),
    "pairs": fast.make_case(5, 5, (5, 4, 70), (1, 2, 1), kernel_size=(3, 3, 3)),
    "pairs, dilated": fast.make_case(4, 13, (7, 4, 20), (3, 1, 2), kernel_size=(3, 3, 3)),
}


def residual_of(case):
    """Random values, some of them not finite."""
    values = np.random.default_rng(5).standard_normal((case.shape.out_channels, *case.box)).astype(case.shape.dtype)
    values[0, 0, 1, 2], values[-1, 1, 0, 3], values[-1, -1, -1, -1] = np.nan, np.inf, -np.inf
    return values


def finish(values, epilogue):
    """The epilogue as a stage of its own."""
    out = np.empty_like(values).reshape(-1)
    _, d, h, w = values.shape
    steps = (d * h * w, h * w, w, 1)
    bound = bind_pointwise(epilogue, values.dtype.name)
    bound.run(np.ascontiguousarray(values).reshape(-1), 0, steps, out, 0, steps, (d, h, w), len(values))
    return out.reshape(values.shape)


def epilogue_of(case, activation, residual):
    """An epilogue, and functions that do what stands before and behind its sum."""
    channels, dtype = case.shape.out_channels, case.shape.dtype
    rng = np.random.default_rng(6)
    scale, shift = rng.standard_normal((2, channels)).astype(dtype)
    parameters = {"clip": (-0.3, 0.7), "leaky_relu": (0.2,)}.get(activation, ())
    whole = Epilogue(scale, shift, activation, parameters, residual=residual)
    scaled = Epilogue(scale, shift)
    both = Epilogue(scale, shift, activation, parameters)
    parts = (scaled, Epilogue(activation=activation, parameters=parameters))
    return whole, *(parts if residual == "before" else (both, Epilogue()))


# kernels of activations behind the stores are others, and compiling each takes seconds: two of them will do
EPILOGUES = [("relu", "before"), ("clip", "after"), ("leaky_relu", "after"), ("identity", "after")]
CASES = [(name, *epilogue) for name in (*DIRECT, *FAST) for epilogue in EPILOGUES]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "activation", "residual"), [*CASES, ("last", "silu", "before"), ("pairs", "silu", "before")]
)
def test_a_sum_in_registers_has_the_bits_of_one_apart(name, activation, residual) -> None:
    case = DIRECT.get(name) or FAST[name]
    whole, before, behind = epilogue_of(case, activation, residual)
    other = residual_of(case)
    if name in FAST:
        plain, got = fast.run(case), fast.run(case, epilogue=whole, residual=other)
    else:
        kernel = choose_conv(case.shape)
        plain, got = run(case, kernel), run(case, kernel, epilogue=whole, residual=other)
    np.testing.assert_array_equal(got, finish(finish(plain, before) + other, behind))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["first", "rows", "last", "depthwise"]),
    cuts=st.tuples(*[st.integers(0, 200)] * 3),
    threads=st.integers(1, 4),
    reads=st.sampled_from(["first", "last"]),
    out_step=st.integers(1, 3),
)
def test_however_it_is_cut_the_bits_are_the_same(name, cuts, threads, reads, out_step) -> None:
    case = DIRECT[name]
    whole, *_ = epilogue_of(case, "relu", "before")
    kernel, other = choose_conv(case.shape), residual_of(case)
    want = run(case, kernel, epilogue=whole, residual=other)
    before = jit.thread_count()
    jit.set_threads(threads)
    try:
        boxes = cut_boxes(case.box, cuts)
        got = run(case, kernel, epilogue=whole, boxes=boxes, reads=reads, out_step=out_step, spread=1, residual=other)
    finally:
        jit.set_threads(before)
    np.testing.assert_array_equal(got, want)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["winograd", "winograd, dilated", "pairs"]),
    ends=st.tuples(*[st.lists(st.integers(0, 99), min_size=2, max_size=2)] * 3),
    origin=st.tuples(*[st.integers(0, 5)] * 3),
)
def test_any_part_has_the_bits_of_the_whole(name, ends, origin) -> None:
    case = FAST[name]
    whole, *_ = epilogue_of(case, "relu", "before")
    other = residual_of(case)
    start = tuple(min(pair) % n for pair, n in zip(ends, case.box, strict=True))
    stop = tuple(a + 1 + max(pair) % (n - a) for a, pair, n in zip(start, ends, case.box, strict=True))
    got = fast.run(case, part=(start, stop), origin=origin, epilogue=whole, residual=other)
    want = fast.run(case, origin=origin, epilogue=whole, residual=other)
    np.testing.assert_array_equal(got, want[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))])


@pytest.mark.parametrize("name", ["winograd", "pairs"])
def test_a_sum_taken_again_is_added_to_too(name) -> None:
    case = FAST[name]
    whole, before, behind = epilogue_of(case, "relu", "before")
    other, x = residual_of(case), case.x
    x[0, 2, 2, 3], x[-1, 3, 3, 4] = np.inf, np.nan
    plain = fast.run(case, x=x)
    got = fast.run(case, x=x, epilogue=whole, residual=other)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(got, finish(finish(plain, before) + other, behind))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first", "last"])
@pytest.mark.parametrize("bits", [256, 128])
def test_narrower_vectors_give_the_same_bits(name, bits) -> None:
    case = DIRECT[name]
    whole, *_ = epilogue_of(case, "relu", "before")
    other = residual_of(case)
    want = run(case, choose_conv(case.shape), epilogue=whole, residual=other)
    np.testing.assert_array_equal(run(case, choose_conv(case.shape, bits), epilogue=whole, residual=other), want)


def test_only_a_layer_that_adds_needs_another_kernel() -> None:
    case = DIRECT["last"]
    kernel = choose_conv(case.shape)
    (plain,), (adding,) = (kernel_specs(kernel, case.shape, Epilogue(residual=r)) for r in ("", "before"))
    assert adding.ints == (*plain.ints, 1)
    assert kernel_specs(kernel, case.shape, Epilogue(residual="after")) == [adding]


def test_a_residual_goes_with_an_epilogue_that_has_a_place_for_it() -> None:
    case = DIRECT["last"]
    kernel = choose_conv(case.shape)
    bound = bind_conv(kernel, case.shape, case.weights, case.bias, Epilogue(residual="after"))
    out = np.zeros(64, "float32")
    with pytest.raises(ValueError, match="residual None, expected one"):
        bound.run(out, 0, (1, 1, 1, 1), np.zeros(18, np.int64), out, 0, (1, 1, 1, 1), (1, 1, 1))

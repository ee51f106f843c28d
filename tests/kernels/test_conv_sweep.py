"""The sweep of factored filters: the bits of three passes, one axis at a time, whatever box, cut, threads, width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.kernels import jit
from volconv.kernels.catalog import ConvShape, Epilogue, choose_conv, vector_bits
from volconv.kernels.catalog_memory import packed_bytes, scratch_bytes
from volconv.kernels.conv import BoundSweep, bind_conv
from volconv.ops.base import source_index

MODES = ("zeros", "reflect", "replicate", "circular")
WIDTHS = [bits for bits in (128, 256, 512) if bits <= vector_bits()]


def sources_of(length, taps, mode):
    wanted = np.arange(-(taps // 2), length + taps - 1 - taps // 2)
    if mode == "zeros":
        return np.where((wanted >= 0) & (wanted < length), wanted, -1)
    return source_index(wanted, length, mode)


def bind(lengths, channels, filters, dtype, bits=None, bias=None, epilogue=None):
    shape = ConvShape(
        channels, channels * filters, channels, sum(lengths), dtype, algorithm="factored", lengths=lengths
    )
    weights = np.random.default_rng(1).standard_normal((shape.out_channels, 1, shape.taps)).astype(dtype)
    return bind_conv(choose_conv(shape, bits), shape, weights, bias, epilogue), shape, weights[:, 0]


def by_passes(x, sources, shape, weights):
    """Sum along d, h and w, each by the kernel of an ordinary convolution with one output channel a group."""
    values = np.repeat(x, shape.group_outputs, 0)
    starts = np.cumsum((0, *shape.lengths))
    for axis in range(3):
        padded = np.concatenate([values, np.zeros_like(values.take([0], 1 + axis))], 1 + axis)
        padded = np.ascontiguousarray(padded.take(sources[axis], 1 + axis))
        taps = shape.lengths[axis]
        one = ConvShape(len(values), len(values), len(values), taps, shape.dtype)
        bound = bind_conv(choose_conv(one), one, weights[:, None, starts[axis] : starts[axis + 1]])
        box = list(values.shape[1:])
        out = np.empty_like(values)
        flat = np.concatenate([padded.ravel(), np.zeros(4096, x.dtype)])
        steps, out_steps = ([s // x.itemsize for s in array.strides] for array in (padded, out))
        bound.run(flat, 0, steps, np.arange(taps) * steps[1 + axis], out.reshape(-1), 0, out_steps, box)
        values = out
    return values


def sweep(bound, x, sources, out):
    steps, out_steps = ([s // x.itemsize for s in array.strides] for array in (x, out))
    bound.run_sweep(x.reshape(-1), 0, steps, sources, out.base, 0, out_steps, out.shape[1:])


def room(shape, box):
    """Return (C, D, H, W) as a view of a flat array with other values around each row."""
    whole = np.full(shape.out_channels * box[0] * box[1] * (box[2] + 3), 7, shape.dtype)
    strides = np.array([box[0] * box[1] * (box[2] + 3), box[1] * (box[2] + 3), box[2] + 3, 1]) * whole.itemsize
    return np.ndarray((shape.out_channels, *box), whole.dtype, whole, 0, tuple(strides))


def check(lengths, box, mode, channels, filters, dtype, bits, threads):
    bound, shape, weights = bind(lengths, channels, filters, dtype, bits)
    x = np.random.default_rng(0).standard_normal((channels, *box)).astype(dtype)
    x[0, box[0] // 2, box[1] // 3, box[2] // 2] = np.inf
    x[-1, 0, 0, 0] = np.nan
    sources = [sources_of(n, k, mode) for n, k in zip(box, lengths, strict=True)]
    expected = by_passes(x, sources, shape, weights)
    out = room(shape, box)
    before = jit.thread_count()
    try:
        jit.set_threads(threads)
        sweep(bound, x, sources, out)
    finally:
        jit.set_threads(before)
    np.testing.assert_array_equal(out, expected)
    out[...] = 7
    assert np.all(out.base == 7), "written outside the box"


lengths = st.tuples(*[st.sampled_from([1, 2, 3, 4, 5, 8, 13, 21])] * 3)
boxes = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 50))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(lengths, boxes, st.sampled_from(MODES), st.integers(1, 3), st.integers(1, 2), st.sampled_from([1, 2]))
def test_a_sweep_has_the_bits_of_three_passes(lengths, box, mode, channels, filters, threads):
    check(lengths, box, mode, channels, filters, "float32", None, threads)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("mode", MODES)
def test_every_vector_width_and_type_gives_these_bits(dtype, bits, mode):
    check((9, 5, 7), (14, 11, 37), mode, 2, 1, dtype, bits, 2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("lengths", "box"), [((5, 41, 41), (9, 60, 700)), ((61, 3, 5), (70, 4, 530)), ((9, 9, 9), (70, 30, 130))]
)
def test_boxes_of_many_pieces(lengths, box, mode):
    check(lengths, box, mode, 1, 1, "float32", None, 2)


def test_parts_of_a_volume_have_the_bits_of_the_whole():
    bound, shape, _ = bind((7, 9, 5), 2, 1, "float32")
    x = np.random.default_rng(0).standard_normal((2, 20, 25, 40)).astype("f4")
    sources = [sources_of(n, k, "reflect") for n, k in zip(x.shape[1:], shape.lengths, strict=True)]
    whole = room(shape, x.shape[1:])
    sweep(bound, x, sources, whole)
    for first, stop in (((3, 4, 6), (9, 20, 39)), ((0, 0, 0), (1, 1, 1)), ((15, 7, 0), (20, 25, 3))):
        part = room(shape, tuple(b - a for a, b in zip(first, stop, strict=True)))
        some = [s[a : b + k - 1] for s, a, b, k in zip(sources, first, stop, shape.lengths, strict=True)]
        sweep(bound, x, some, part)
        where = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
        np.testing.assert_array_equal(part, whole[(slice(None), *where)])


@pytest.mark.parametrize(
    "epilogue",
    [Epilogue(), Epilogue(np.array([2.0, -1.0]), np.array([0.5, 0.25]), "relu"), Epilogue(activation="tanh")],
)
def test_bias_and_epilogue_follow_the_last_sum(epilogue):
    bias = np.array([0.25, -3.0])
    bound, shape, _ = bind((5, 7, 9), 2, 1, "float64", bias=bias, epilogue=epilogue)
    plain, _, _ = bind((5, 7, 9), 2, 1, "float64")
    x = np.random.default_rng(0).standard_normal((2, 8, 9, 10))
    sources = [sources_of(n, k, "zeros") for n, k in zip(x.shape[1:], shape.lengths, strict=True)]
    out, sums = room(shape, x.shape[1:]), room(shape, x.shape[1:])
    sweep(bound, x, sources, out)
    sweep(plain, x, sources, sums)
    expected = sums + bias[:, None, None, None]
    if epilogue.scale is not None:
        expected = expected * epilogue.scale[:, None, None, None] + epilogue.shift[:, None, None, None]
    act = {"identity": lambda v: v, "relu": lambda v: np.maximum(v, 0), "tanh": np.tanh}[epilogue.activation]
    np.testing.assert_allclose(out, act(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lengths", [(9, 9, 9), (1, 21, 21), (101, 101, 101)])
def test_what_it_takes_is_what_planning_knows(lengths):
    bound, shape, _ = bind(lengths, 3, 1, "float32")
    assert isinstance(bound, BoundSweep)
    assert bound.scratch_elements(2) * 4 == scratch_bytes(bound.kernel, shape, 2)
    assert bound.nbytes <= packed_bytes(bound.kernel, shape)

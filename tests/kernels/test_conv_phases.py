"""All phases of a transposed convolution at once: the bits of each phase by itself, in the voxels asked for alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.engine.phases import list_phases, phase_outputs, phase_reads, phase_weights, place_ranges, tap_inputs
from volconv.kernels import jit
from volconv.kernels.catalog import ConvShape, Epilogue, choose_conv
from volconv.kernels.catalog_memory import packed_bytes
from volconv.kernels.conv import PhaseWeights, bind_conv, bind_phases
from volconv.kernels.conv_pack import align_values
from volconv.ops.conv_transpose3d import ConvTranspose3d

MARGIN = 12


def shape_of(op, dtype="float32"):
    taps = int(np.prod([-(-k // s) for k, s in zip(op.kernel_size, op.stride, strict=True)]))
    return ConvShape(op.in_channels, op.out_channels, op.groups, taps, dtype, phases=int(np.prod(op.stride)))


def weights_of(op, dtype):
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((op.in_channels, op.out_channels // op.groups, *op.kernel_size)).astype(dtype)
    return weight, rng.standard_normal(op.out_channels).astype(dtype)


class Volumes:
    """An input with a margin of values around it, and room for outputs `region`, in a layout."""

    def __init__(self, op, edge, region, dtype, stored, reads="last"):
        order = (0, 1, 2, 3) if reads == "first" else (1, 2, 3, 0)
        size = [edge + 2 * MARGIN] * 3
        x = np.random.default_rng(0).standard_normal((op.in_channels, *size)).astype(dtype).transpose(order)
        strides = np.array(np.ascontiguousarray(x).strides) // x.itemsize
        self.steps = [int(s) for s in strides[list(np.argsort(order))]]
        self.flat = np.concatenate([x.ravel(), np.zeros(4096, dtype)])
        self.start = MARGIN * sum(self.steps[1:])
        self.region = region
        shape = [b - a for a, b in region]
        self.out_steps = [1, shape[1] * shape[2] * stored, shape[2] * stored, stored]
        self.out = align_values(np.full(int(np.prod(shape)) * stored, 7, dtype))
        self.shape = (*shape, stored)

    def source(self, place):
        return self.start + sum(a * b for a, b in zip(place, self.steps[1:], strict=True))

    def target(self, voxel):
        return sum((v - a) * s for v, (a, _), s in zip(voxel, self.region, self.out_steps[1:], strict=True))


def run_together(op, volumes, dtype, kernel, epilogue):
    weight, bias = weights_of(op, dtype)
    phases = list(list_phases(op))
    parts = [PhaseWeights(p.offset, phase_reads(op, p), phase_weights(op, p, weight)) for p in phases]
    bound = bind_phases(kernel, shape_of(op, dtype), parts, bias, epilogue)
    assert bound.nbytes <= packed_bytes(kernel, shape_of(op, dtype)) or op.dilation != (1, 1, 1)
    numbers = {p.offset: n for n, p in enumerate(phases)}
    for z, y, x in product(*(list(place_ranges(op, axis, volumes.region[axis])) for axis in range(3))):
        places = [z[0], y[0], x[0]]
        first = [a * s - p for (a, _), s, p in zip(places, op.stride, op.pad_low, strict=True)]
        bound.run(
            volumes.flat, volumes.source([a for a, _ in places]), volumes.steps, volumes.out, volumes.target(first),
            volumes.out_steps, op.stride, [b - a for a, b in places], [numbers[q] for q in product(z[1], y[1], x[1])],
        )  # fmt: skip
    return volumes.out.reshape(volumes.shape)


def run_apart(op, volumes, dtype, epilogue):
    weight, bias = weights_of(op, dtype)
    bits = choose_conv(ConvShape(1, 5, 1, 1, dtype))
    out = np.zeros_like(volumes.out)
    for phase in list_phases(op):
        part = phase_weights(op, phase, weight)
        shape = replace(shape_of(op, dtype), taps=part.shape[2], phases=1)
        first, box, offsets = [], [], []
        for axis in range(3):
            start, count = phase_outputs(op, phase, axis, volumes.region[axis])
            first.append(start)
            box.append(count)
            offsets.append([i * volumes.steps[1 + axis] for i in tap_inputs(op, phase, axis, start)])
        taps = np.array([sum(t) for t in product(*offsets)], np.int64)
        steps = [volumes.out_steps[0], *(s * n for s, n in zip(op.stride, volumes.out_steps[1:], strict=True))]
        bind_conv(bits, shape, part, bias, epilogue).run(
            volumes.flat, volumes.start, volumes.steps, taps, out, volumes.target(first), steps, box
        )
    return out.reshape(volumes.shape)


def compare(op, edge, region, dtype="float32", reads="last", epilogue=None, bits=None):
    kernel = choose_conv(shape_of(op, dtype), bits)
    assert kernel.name == "phases"
    stored = -(-op.out_channels // kernel.lanes) * kernel.lanes
    volumes = Volumes(op, edge, region, dtype, stored, reads)
    together = run_together(op, volumes, dtype, kernel, epilogue or Epilogue())
    apart = run_apart(op, volumes, dtype, epilogue or Epilogue())
    assert not np.any(np.all(together == 7, axis=-1)), "left out"
    np.testing.assert_array_equal(together[..., : op.out_channels], apart[..., : op.out_channels])


@settings(max_examples=25, deadline=None)
@given(
    kernel_size=st.tuples(*[st.integers(1, 4)] * 3),
    stride=st.tuples(*[st.integers(1, 3)] * 3).filter(lambda s: max(s) > 1),
    dilation=st.tuples(*[st.integers(1, 2)] * 3),
    pad=st.tuples(*[st.integers(0, 2)] * 3),
    channels=st.sampled_from([(3, 16, 1), (2, 32, 1), (4, 32, 2), (2, 30, 1)]),
    region=st.tuples(*[st.tuples(st.integers(-2, 4), st.integers(1, 9))] * 3),
    reads=st.sampled_from(["first", "last"]),
    threads=st.integers(1, 3),
)
def test_any_layer_and_region_has_the_bits_of_phases_computed_apart(
    kernel_size, stride, dilation, pad, channels, region, reads, threads
) -> None:
    inputs, outputs, groups = channels
    op = ConvTranspose3d(inputs, outputs, kernel_size, stride, pad, pad, dilation=dilation, groups=groups)
    before = jit.thread_count()
    jit.set_threads(threads)
    try:
        compare(op, 8, [(a, a + n) for a, n in region], reads=reads)
    finally:
        jit.set_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [128, 256])
def test_narrower_vectors_have_the_same_bits(bits) -> None:
    op = ConvTranspose3d(3, 16, (2, 2, 3), (2, 2, 2))
    compare(op, 8, [(0, 5), (1, 6), (0, 9)], bits=bits)


def test_double_precision_and_many_outputs() -> None:
    op = ConvTranspose3d(3, 90, (3, 2, 2), (2, 2, 2), (1, 0, 0), (1, 0, 0))
    compare(op, 8, [(0, 5), (1, 6), (0, 9)], dtype="float64")


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu"])
def test_the_epilogue_is_that_of_phases_computed_apart(activation) -> None:
    op = ConvTranspose3d(3, 32, (3, 2, 2), (2, 2, 2))
    scale, shift = np.linspace(0.5, 2, 32), np.linspace(-1, 1, 32)
    parameters = (0.1,) if activation == "leaky_relu" else ()
    compare(op, 8, [(0, 5), (1, 6), (0, 9)], epilogue=Epilogue(scale, shift, activation, parameters))


def test_outputs_larger_than_caches_have_the_same_bits() -> None:
    compare(ConvTranspose3d(2, 16, (2, 2, 2), (2, 2, 2)), 45, [(0, 88), (0, 88), (0, 88)])

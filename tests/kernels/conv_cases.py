"""Convolutions laid out in flat arrays in any way, and what float64 says they give."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from volconv.kernels.catalog import ConvKernel, ConvShape, Epilogue, choose_conv
from volconv.kernels.conv import Residual, bind_conv

SLACK = 4096


@dataclass(frozen=True)
class Case:
    """A layer, its weights and its input; `box` output voxels."""

    shape: ConvShape
    kernel_size: tuple[int, int, int]
    box: tuple[int, int, int]
    dilation: tuple[int, int, int] = (1, 1, 1)
    stride: tuple[int, int, int] = (1, 1, 1)
    seed: int = 0

    @property
    def places(self):
        """Where each tap reads, in voxels: (T, 3)."""
        axes = [np.arange(k) * d for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)

    @property
    def x(self):
        """The input, (C, D, H, W)."""
        edges = zip(self.box, self.stride, self.kernel_size, self.dilation, strict=True)
        size = [(n - 1) * s + d * (k - 1) + 1 for n, s, k, d in edges]
        return self._random((self.shape.in_channels, *size), 0)

    @property
    def weights(self):
        """(O, I/G, T)."""
        return self._random((self.shape.out_channels, self.shape.group_inputs, self.shape.taps), 1)

    @property
    def bias(self):
        """(O,)."""
        return self._random((self.shape.out_channels,), 2)

    def _random(self, size, stream):
        return np.random.default_rng((self.seed, stream)).standard_normal(size).astype(self.shape.dtype)


def make_case(inputs, outputs, kernel_size, box, *, groups=1, dtype="float32", **rest) -> Case:
    """Return a case; the taps follow from the kernel's size."""
    step_w = rest.get("stride", (1, 1, 1))[2]
    return Case(ConvShape(inputs, outputs, groups, int(np.prod(kernel_size)), dtype, step_w), kernel_size, box, **rest)


def exact(case: Case):
    """Return the sums with bias in float64, and the sums of magnitudes that bound their errors."""
    s = case.shape
    x, weights = case.x.astype(float), case.weights.astype(float)
    total, size = np.zeros((2, s.out_channels, *case.box))
    for t, place in enumerate(case.places):
        part = tuple(slice(p, p + (n - 1) * k + 1, k) for p, n, k in zip(place, case.box, case.stride, strict=True))
        read = x[(slice(None), *part)].reshape(s.groups, s.group_inputs, -1)
        tap = weights[:, :, t].reshape(s.groups, s.group_outputs, s.group_inputs)
        total += (tap @ read).reshape(total.shape)
        size += (abs(tap) @ abs(read)).reshape(total.shape)
    return total + case.bias.reshape(-1, 1, 1, 1).astype(float), size


def check_close(case: Case, got) -> None:
    """Assert the error bound of a sum of n products in one precision."""
    want, size = exact(case)
    products = case.shape.group_inputs * case.shape.taps
    bound = 4 * np.finfo(case.shape.dtype).eps * max(1, products) ** 0.5 * (size + abs(want))
    assert np.all(abs(got - want) <= bound)


def other_kernel(kernel: ConvKernel, shape: ConvShape) -> ConvKernel:
    """Return a kernel of the other layout for the same layer (of a fixed block, so that few are compiled)."""
    bits = kernel.lanes * 8 * shape.itemsize
    step = shape.step_w if shape.step_w in (1, 2) else 0
    if kernel.writes == "last":
        return replace(choose_conv(ConvShape(1, 5, 1, 1, shape.dtype, 1), bits), step=step)
    return choose_conv(ConvShape(1, 32, 1, 1, shape.dtype), bits)


def store_residual(values, kernel: ConvKernel, spread=0):
    """Return `values` (O, D, H, W) as what `kernel` can add, with room of other values between its rows."""
    channels = -(-len(values) // kernel.channel_multiple) * kernel.channel_multiple
    order = (1, 2, 3, 0) if kernel.writes == "last" else (0, 1, 2, 3)
    stored = np.full((channels, *values.shape[1:]), 5, values.dtype)
    stored[: len(values)] = values
    stored = stored.transpose(order)
    between = [spread, spread, spread, 0]
    wide = np.full([size + more for size, more in zip(stored.shape, between, strict=True)], 9, values.dtype)
    wide[tuple(slice(size) for size in stored.shape)] = stored
    steps = np.array(wide.strides)[list(np.argsort(order))] // wide.itemsize
    return Residual(np.concatenate([np.full(3, 9, values.dtype), wide.ravel()]), 3, tuple(int(step) for step in steps))


def run(
    case: Case, kernel: ConvKernel, *, epilogue=None, reads="first", boxes=None, out_step=1, spread=0, residual=None
):
    """Run the kernel on the case, box by box, and return (O, D, H, W); nothing else of the output may change.

    `reads` is the input's layout (where the kernel takes any), `spread` widens every step of it, `out_step` is the
    output's step along w, `residual` (O, D, H, W) is what the epilogue adds.
    """
    s, n = case.shape, case.box
    reads = "last" if kernel.reads == "last" else reads
    order = (0, 1, 2, 3) if reads == "first" else (1, 2, 3, 0)
    stored = case.x.transpose(order)
    wide = np.full([size + spread for size in stored.shape], np.nan, s.dtype)
    wide[tuple(slice(size) for size in stored.shape)] = stored
    steps = np.array(wide.strides)[list(np.argsort(order))] // wide.itemsize
    start = 3
    flat = np.concatenate([np.full(start, np.nan), wide.ravel(), np.full(SLACK, np.nan)]).astype(s.dtype)
    channels = -(-s.out_channels // kernel.channel_multiple) * kernel.channel_multiple
    if kernel.writes == "last":
        room = np.full((*n[:2], n[2] * out_step + 1, channels), 7, s.dtype)
        seen = room[:, :, : n[2] * out_step : out_step].transpose(3, 0, 1, 2)
    else:
        room = np.full((channels, n[0], n[1] + 1, n[2] * out_step + 2), 7, s.dtype)
        seen = room[:, :, : n[1], : n[2] * out_step : out_step]
    out_steps = tuple(step // room.itemsize for step in seen.strides)
    bound = bind_conv(kernel, s, case.weights, case.bias, epilogue or Epilogue())
    x_steps = (int(steps[0]), *(int(a * b) for a, b in zip(steps[1:], case.stride, strict=True)))
    for first, stop in boxes or [((0, 0, 0), n)]:
        size = [b - a for a, b in zip(first, stop, strict=True)]
        x_start = start + sum(a * b for a, b in zip(first, x_steps[1:], strict=True))
        out_start = sum(a * b for a, b in zip(first, out_steps[1:], strict=True))
        other = None if residual is None else store_residual(residual, kernel, 2)
        if other is not None:
            other = other.ahead(sum(a * b for a, b in zip(first, other.steps[1:], strict=True)))
        bound.run(
            flat, x_start, x_steps, (case.places * steps[1:]).sum(1), room.reshape(-1), out_start, out_steps, size,
            residual=other,
        )  # fmt: skip
    got = seen[: s.out_channels].copy()
    seen[...] = 7
    assert np.all(room == 7), "written outside the box"
    return got


def cut_boxes(box, cuts):
    """Return the boxes that cuts (one a axis, any int) divide `box` into."""
    parts = [[(0, c % n), (c % n, n)] if c % n else [(0, n)] for c, n in zip(cuts, box, strict=True)]
    return [((z[0], y[0], x[0]), (z[1], y[1], x[1])) for z in parts[0] for y in parts[1] for x in parts[2]]

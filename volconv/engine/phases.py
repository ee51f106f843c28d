"""A transposed convolution as small ordinary ones: one for each phase ``(output + padding) mod stride``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from ..geometry import Triple
from ..ops.base import Array, Interval
from ..ops.conv_transpose3d import ConvTranspose3d


@dataclass(frozen=True)
class Phase:
    """Outputs ``o`` with ``(o + pad) mod stride == offset`` on every axis, and the taps that hit them.

    Attributes
    ----------
    offset : tuple of int
    taps : three tuples of int
        Kernel positions along D, H, W, rising.
    """

    offset: Triple
    taps: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def list_phases(op: ConvTranspose3d) -> Iterator[Phase]:
    """Yield every phase of `op`; one whose outputs no tap hits has no taps on that axis."""
    for d, h, w in product(*(range(s) for s in op.stride)):
        taps = tuple(_hits(op, axis, offset) for axis, offset in enumerate((d, h, w)))
        yield Phase((d, h, w), taps)  # type: ignore[arg-type]


def _hits(op: ConvTranspose3d, axis: int, offset: int) -> tuple[int, ...]:
    s, d = op.stride[axis], op.dilation[axis]
    return tuple(k for k in range(op.kernel_size[axis]) if (k * d - offset) % s == 0)


def phase_weights(op: ConvTranspose3d, phase: Phase, weight: Array) -> Array:
    """Return the weights of `phase` as (O, I/G, T), taps in rising order of d, h, w, from (I, O/G, kd, kh, kw)."""
    part = weight[np.ix_(range(weight.shape[0]), range(weight.shape[1]), *phase.taps)]
    i, o, g = op.in_channels // op.groups, op.out_channels // op.groups, op.groups
    return np.ascontiguousarray(part.reshape(g, i, o, -1).transpose(0, 2, 1, 3).reshape(g * o, i, -1))


def phase_reads(op: ConvTranspose3d, phase: Phase) -> Array:
    """Return which input each tap of `phase` brings, (T, 3) along D, H, W, from place m of the input.

    The phase's output there is ``m·stride - pad_low + offset``.
    """
    axes = [
        [(q - k * d) // s for k in taps]
        for q, taps, d, s in zip(phase.offset, phase.taps, op.dilation, op.stride, strict=True)
    ]
    return np.array(list(product(*axes)), np.int64).reshape(-1, 3)


def place_ranges(op: ConvTranspose3d, axis: int, out: Interval) -> Iterator[tuple[Interval, tuple[int, ...]]]:
    """Yield runs of input places along `axis` whose outputs lie in `out`, and the phases' offsets that do there."""
    p, s = op.pad_low[axis], op.stride[axis]
    runs = [(-(-(out[0] + p - q) // s), -(-(out[1] + p - q) // s)) for q in range(s)]
    edges = sorted({edge for run in runs for edge in run})
    for a, b in pairwise(edges):
        offsets = tuple(q for q, (low, high) in enumerate(runs) if low <= a and b <= high)
        if offsets:
            yield (a, b), offsets


def phase_outputs(op: ConvTranspose3d, phase: Phase, axis: int, out: Interval) -> tuple[int, int]:
    """Return the first output of `phase` in `out` along `axis`, and how many there are."""
    s = op.stride[axis]
    first = out[0] + (phase.offset[axis] - out[0] - op.pad_low[axis]) % s
    return first, max(0, -(-(out[1] - first) // s))


def tap_inputs(op: ConvTranspose3d, phase: Phase, axis: int, first: int) -> list[int]:
    """Return the input that each tap of `phase` brings to output `first` along `axis`."""
    p, s, d = op.pad_low[axis], op.stride[axis], op.dilation[axis]
    return [(first + p - k * d) // s for k in phase.taps[axis]]

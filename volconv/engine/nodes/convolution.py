"""Convolutions: one box of outputs a call, or whole rows in a sweep for a factored filter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...geometry import Triple
from ...graph.model import Node
from ...kernels.conv import BoundConv, BoundSweep, bind_conv
from ...ops.base import source_index
from ...ops.conv3d import Conv3d
from ...plan.model import Plan
from ..arena import View
from .base import Array
from .weights import layer_epilogue, layer_kernels, layer_shape, layer_tensors

kernels = layer_kernels


def bind(node: Node, plan: Plan) -> Convolution | Sweep:
    """Return what runs `node`."""
    op = node.op
    assert isinstance(op, Conv3d)
    shape, (weight, bias) = layer_shape(node), layer_tensors(node)
    weight = weight.reshape(op.out_channels, shape.group_inputs, -1)
    bound = bind_conv(plan.kernels[node.name], shape, weight, bias, layer_epilogue(node))
    if isinstance(bound, BoundSweep):
        return Sweep(op, bound, plan.graph.wire(node.inputs[0]).shape)
    return Convolution(op, bound)


class Convolution:
    """A convolution, and the kernel that holds its weights as `conv`."""

    def __init__(self, op: Conv3d, conv: BoundConv) -> None:
        self._op = op
        self.conv = conv

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights."""
        return self.conv.nbytes

    def scratch_elements(self, threads: int) -> int:
        """Return what the kernel works in."""
        return self.conv.scratch_elements(threads)

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:
        """Compute ``target.inner``."""
        (source,), region, op = sources, target.inner, self._op
        first = tuple(o * s - p for o, s, p in zip(region.start, op.stride, op.pad_low, strict=True))
        offsets = [
            [t * op.dilation[axis] * source.steps[1 + axis] for t in range(op.kernel_size[axis])] for axis in range(3)
        ]
        steps = (source.steps[0], *(s * n for s, n in zip(op.stride, source.steps[1:], strict=True)))
        self.conv.run(
            source.flat, source.at(first), steps, outer_sum(offsets),
            target.flat, target.at(region.start), target.steps, region.shape, region.start, scratch,
        )  # fmt: skip


class Sweep(Convolution):
    """A convolution with a factored filter, which looks up what stands outside a volume of `shape`."""

    conv: BoundSweep

    def __init__(self, op: Conv3d, conv: BoundSweep, shape: Triple) -> None:
        super().__init__(op, conv)
        self._shape = shape

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:
        """Compute ``target.inner``."""
        (source,), region, op = sources, target.inner, self._op
        mode = op.padding_mode
        places = []
        for axis in range(3):
            first, stop = op.in_interval(axis, (region.start[axis], region.stop[axis]))
            wanted, length = np.arange(first, stop), self._shape[axis]
            if mode in (None, "zeros"):
                places.append(np.where((wanted >= 0) & (wanted < length), wanted - source.box.start[axis], -1))
            else:
                places.append(source_index(wanted, length, mode) - source.box.start[axis])
        self.conv.run_sweep(
            source.flat, source.start, source.steps, places,
            target.flat, target.at(region.start), target.steps, region.shape, scratch,
        )  # fmt: skip


def outer_sum(offsets: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return the element offset of each tap, d slowest."""
    d, h, w = (np.asarray(part, np.int64) for part in offsets)
    return (d[:, None, None] + h[:, None] + w).ravel()

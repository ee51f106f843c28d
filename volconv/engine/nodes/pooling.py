"""Pooling: the largest value or the mean of windows."""

from __future__ import annotations

from collections.abc import Sequence

from ...geometry import Triple
from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...kernels.pool import Axis, pool_specs, run_pool, vector_step
from ...numeric import compute_dtype
from ...ops.avg_pool3d import AvgPool3d
from ...ops.pool import Pool
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of such a pooling, channels first and last."""
    assert isinstance(node.op, Pool)
    return pool_specs(compute_dtype(node.wire.dtype), isinstance(node.op, AvgPool3d), (vector_step(node.op.stride[2]),))


def bind(node: Node, plan: Plan) -> Pooling:
    """Return what runs `node`."""
    assert isinstance(node.op, Pool)
    return Pooling(node.op, plan.graph.wire(node.inputs[0]).shape)


class Pooling(Unweighted):
    """A pooling of a volume of known size."""

    def __init__(self, op: Pool, shape: Triple) -> None:
        self._op, self._shape = op, shape

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        (source,) = sources
        region, op = target.inner, self._op
        divisor = op.divisor if isinstance(op, AvgPool3d) else 0
        run_pool(
            source.flat, source.at((0, 0, 0)), source.steps, target.flat, target.at(region.start), target.steps,
            region.shape, min(source.channels, target.channels),
            [self._axis(axis, region.start[axis]) for axis in range(3)], isinstance(op, AvgPool3d), divisor,
        )  # fmt: skip

    def _axis(self, axis: int, start: int) -> Axis:
        op, length = self._op, self._shape[axis]
        padded = isinstance(op, AvgPool3d) and op.count_include_pad
        low, high = (op.pad_low[axis], op.pad_high[axis]) if padded else (0, 0)
        return Axis(
            start * op.stride[axis] - op.pad_low[axis], op.kernel_size[axis], op.stride[axis], op.dilation[axis],
            length, -low, length + high,
        )  # fmt: skip

"""Stages that are every so many channels and voxels of another."""

from __future__ import annotations

from collections.abc import Sequence

from ...graph.model import Node
from ...kernels.copies import copy_specs, run_copy
from ...kernels.jit import KernelSpec
from ...numeric import compute_dtype
from ...ops.slice import Slice
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of a copy."""
    return copy_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Slicing:  # noqa: ARG001
    """Return what runs `node`."""
    assert isinstance(node.op, Slice)
    return Slicing(node.op, node.wire.channels)


class Slicing(Unweighted):
    """A copy with steps of its own."""

    def __init__(self, op: Slice, channels: int) -> None:
        self._op = op
        self._channels = channels

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Copy what ``target.inner`` holds."""
        (source,), region, op = sources, target.inner, self._op
        first = tuple(a + o * s for a, o, s in zip(op.start[1:], region.start, op.step[1:], strict=True))
        start = source.at(first) + op.start[0] * source.steps[0]
        steps = tuple(step * s for step, s in zip(source.steps, op.step, strict=True))
        run_copy(
            source.flat, start, steps, target.flat, target.at(region.start), target.steps, region.shape, self._channels
        )

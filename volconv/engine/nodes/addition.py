"""Sums of several stages."""

from __future__ import annotations

from collections.abc import Sequence

from ...graph.model import Node
from ...kernels.add import BoundAdd, add_specs, bind_add
from ...kernels.jit import KernelSpec
from ...numeric import compute_dtype
from ...plan.model import Plan
from ..arena import View
from ..epilogue import make_epilogue
from .base import Array, Unweighted


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of a sum."""
    return add_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Addition:  # noqa: ARG001
    """Return what runs `node`."""
    dtype = compute_dtype(node.wire.dtype)
    return Addition(bind_add(make_epilogue(node.epilogue, node.wire.channels, dtype), dtype))


class Addition(Unweighted):
    """A sum and what follows it."""

    def __init__(self, bound: BoundAdd) -> None:
        self._bound = bound

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``; all sources lie in one memory."""
        region = target.inner
        inputs = [(source.at(region.start), source.steps) for source in sources]
        channels = min(view.channels for view in (*sources, target))
        self._bound.run(
            sources[0].flat, inputs, target.flat, target.at(region.start), target.steps, region.shape, channels
        )

"""Stages that change each value by itself: activations, affine maps, norms with fixed statistics."""

from __future__ import annotations

from collections.abc import Sequence

from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...kernels.pointwise import BoundPointwise, bind_pointwise, pointwise_specs
from ...numeric import compute_dtype
from ...plan.model import Plan
from ..arena import View
from ..epilogue import make_epilogue
from .base import Array, Unweighted, run_plain


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of any such stage."""
    return pointwise_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Pointwise:  # noqa: ARG001
    """Return what runs `node` together with its epilogue."""
    dtype = compute_dtype(node.wire.dtype)
    return Pointwise(bind_pointwise(make_epilogue((node, *node.epilogue), node.wire.channels, dtype), dtype))


class Pointwise(Unweighted):
    """An affine map and an activation."""

    def __init__(self, bound: BoundPointwise) -> None:
        self._bound = bound

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        (source,) = sources
        run_plain(self._bound.run, source, target, min(source.channels, target.channels))

"""Labels replaced by others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...kernels.remap import BoundRemap, remap_specs
from ...numeric import compute_dtype
from ...ops.remap import Remap as RemapOp
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted, run_plain


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of `node`."""
    return remap_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Remap:  # noqa: ARG001
    """Return what runs `node`."""
    return Remap(BoundRemap(dict(cast(RemapOp, node.op).labels), compute_dtype(node.wire.dtype)))


class Remap(Unweighted):
    """Pairs of labels."""

    def __init__(self, bound: BoundRemap) -> None:
        self._bound = bound

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        (source,) = sources
        run_plain(self._bound.run, source, target, min(source.channels, target.channels))

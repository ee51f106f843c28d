"""Stages that hand on what they read."""

from __future__ import annotations

from collections.abc import Sequence

from ...graph.model import Node
from ...kernels.copies import copy_specs, run_copy
from ...kernels.jit import KernelSpec
from ...numeric import compute_dtype
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted, run_plain


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of a copy."""
    return copy_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Copying:  # noqa: ARG001
    """Return what runs `node`."""
    return Copying()


class Copying(Unweighted):
    """A copy."""

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Copy ``target.inner``."""
        (source,) = sources
        run_plain(run_copy, source, target, min(source.channels, target.channels))

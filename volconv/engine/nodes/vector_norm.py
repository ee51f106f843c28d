"""The norm over channels."""

from __future__ import annotations

from collections.abc import Sequence

from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...kernels.norm import norm_specs, run_vector_norm
from ...numeric import compute_dtype
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted, input_channels, run_plain


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of the norm."""
    return norm_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> VectorNorm:
    """Return what runs `node`."""
    return VectorNorm(input_channels(plan, node))


class VectorNorm(Unweighted):
    """The norm over so many channels."""

    def __init__(self, channels: int) -> None:
        self._channels = channels

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        (source,) = sources
        run_plain(run_vector_norm, source, target, self._channels)

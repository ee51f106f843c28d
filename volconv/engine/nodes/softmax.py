"""Softmax over channels, and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...kernels.softmax import run_softmax, softmax_specs
from ...numeric import compute_dtype
from ...ops.softmax import Softmax as SoftmaxOp
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted, input_channels, run_plain


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of `node`."""
    return softmax_specs(compute_dtype(node.wire.dtype), log=cast(SoftmaxOp, node.op).log)


def bind(node: Node, plan: Plan) -> Softmax:
    """Return what runs `node`."""
    return Softmax(input_channels(plan, node), cast(SoftmaxOp, node.op).log)


class Softmax(Unweighted):
    """The softmax over so many channels."""

    def __init__(self, channels: int, log: bool) -> None:
        self._channels, self._kernel = channels, partial(run_softmax, log=log)

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        (source,) = sources
        run_plain(self._kernel, source, target, self._channels)

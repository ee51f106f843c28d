"""The number of the largest channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from ...graph.model import Node
from ...kernels.argmax import argmax_specs, run_argmax
from ...kernels.jit import KernelSpec
from ...numeric import compute_dtype
from ...ops.argmax import ArgMax as ArgMaxOp
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted, input_channels, run_plain


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of `node`."""
    return argmax_specs(compute_dtype(node.wire.dtype), last=cast(ArgMaxOp, node.op).last)


def bind(node: Node, plan: Plan) -> ArgMax:
    """Return what runs `node`."""
    return ArgMax(input_channels(plan, node), cast(ArgMaxOp, node.op).last)


class ArgMax(Unweighted):
    """The largest of so many channels."""

    def __init__(self, channels: int, last: bool) -> None:
        self._channels, self._kernel = channels, partial(run_argmax, last=last)

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        (source,) = sources
        run_plain(self._kernel, source, target, self._channels)

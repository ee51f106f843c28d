"""Stages whose channels are those of several others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...graph.model import Node
from ...kernels.copies import copy_specs, run_copy
from ...kernels.jit import KernelSpec
from ...numeric import compute_dtype
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted, run_plain


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of copies."""
    return copy_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Concatenation:
    """Return what runs `node`."""
    return Concatenation(tuple(plan.graph.wire(name).channels for name in node.inputs))


class Concatenation(Unweighted):
    """Copies of so many channels of each input to their places, from any layout to any other."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        self._channels = channels

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Copy ``target.inner`` of every input."""
        start = target.start
        for source, channels in zip(sources, self._channels, strict=True):
            run_plain(run_copy, source, replace(target, start=start, channels=channels), channels)
            start += channels * target.steps[0]

"""Stages that are another with a border."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...kernels.pad import NOTHING, pad_specs, run_pad
from ...numeric import compute_dtype
from ...ops.base import Wire, source_index
from ...ops.pad import Pad
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of a border."""
    return pad_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Padding:
    """Return what runs `node`."""
    assert isinstance(node.op, Pad)
    return Padding(node.op, plan.graph.wire(node.inputs[0]))


class Padding(Unweighted):
    """A border around volumes of `wire`, looked up and never stored with them."""

    def __init__(self, op: Pad, wire: Wire) -> None:
        self._op = op
        self._lengths = (wire.channels, *wire.shape)

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Copy what ``target.inner`` holds, and fill what lies outside."""
        (source,), region = sources, target.inner
        origins = (0, *source.box.start)
        places = [(0, target.channels), *zip(region.start, region.stop, strict=True)]
        tables = [self._table(axis, *place, origins[axis]) for axis, place in enumerate(places)]
        start = target.at(region.start)
        run_pad(source.flat, source.start, source.steps, target.flat, start, target.steps, tables, self._op.value)

    def _table(self, axis: int, start: int, stop: int, origin: int) -> Array:
        """Return which place of the source, counted from `origin`, stands at each place of ``[start, stop)``."""
        wanted, length = np.arange(start, stop) - self._op.low[axis], self._lengths[axis]
        if axis == 0 or self._op.mode == "constant":
            return np.where((wanted >= 0) & (wanted < length), wanted - origin, NOTHING)
        return np.asarray(source_index(wanted, length, self._op.mode) - origin)

"""Stages that give a volume another number of voxels along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ...graph.model import Node
from ...kernels.catalog_resample import RESAMPLE_TASKS, resample_room
from ...kernels.jit import KernelSpec, thread_count
from ...kernels.resample import Taken, resample_specs, run_linear, run_nearest
from ...numeric import compute_dtype
from ...ops.resample import Line, Resample, Rule, list_sources
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernel of the stage's rule."""
    assert isinstance(node.op, Resample)
    return resample_specs(compute_dtype(node.wire.dtype), node.op.rule == "linear")


def bind(node: Node, plan: Plan) -> Resampling:  # noqa: ARG001
    """Return what runs `node`."""
    assert isinstance(node.op, Resample)
    return Resampling(node.op, node.wire.channels)


class Resampling(Unweighted):
    """A resampling."""

    def __init__(self, op: Resample, channels: int) -> None:
        self._op = op
        self._room = resample_room(channels)

    def scratch_elements(self, threads: int) -> int:
        """Return the room that every task works in; only linear ones do."""
        return RESAMPLE_TASKS * threads * self._room if self._op.rule == "linear" else 0

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:
        """Compute ``target.inner``."""
        (source,) = sources
        region, op = target.inner, self._op
        bounds = zip(op.lines, region.start, region.stop, strict=True)
        axes = [_taken(line, op.rule, start, stop) for line, start, stop in bounds]
        places = (
            source.flat, source.at((0, 0, 0)), source.steps, target.flat, target.at(region.start), target.steps,
            region.shape, min(source.channels, target.channels),
        )  # fmt: skip
        if op.rule == "linear":
            run_linear(*places, axes, scratch[: self.scratch_elements(thread_count())], self._room)
        else:
            run_nearest(*places, [axis.low for axis in axes])


@lru_cache(maxsize=1024)  # tiles in a row share two of their three axes
def _taken(line: Line, rule: Rule, start: int, stop: int) -> Taken:
    return Taken(*list_sources(line, rule, np.arange(start, stop)))

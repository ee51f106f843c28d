"""Stages that spread channels over blocks of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...kernels.shuffle import run_shuffle, shuffle_specs
from ...numeric import compute_dtype
from ...ops.pixel_shuffle3d import PixelShuffle3d
from ...plan.model import Plan
from ..arena import View
from .base import Array, Unweighted


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernel of any such stage."""
    return shuffle_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Shuffling:  # noqa: ARG001
    """Return what runs `node`."""
    assert isinstance(node.op, PixelShuffle3d)
    return Shuffling(node.op, node.wire.channels)


class Shuffling(Unweighted):
    """A shuffle to so many channels, which are written first."""

    def __init__(self, op: PixelShuffle3d, channels: int) -> None:
        self._op, self._channels = op, channels

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        (source,), region, op = sources, target.inner, self._op
        apart = (1, self._channels) if op.phase_first else (prod(op.factors), 1)
        run_shuffle(
            source.flat, source.at((0, 0, 0)), source.steps, target.flat, target.at(region.start), target.steps,
            region.shape, self._channels, region.start, op.factors, apart,
        )  # fmt: skip

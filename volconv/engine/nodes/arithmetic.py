"""Sums, differences, products and quotients of stages, or of one and constants; smaller ones are spread over axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph.model import Node
from ...kernels.arithmetic import BoundArithmetic, arithmetic_specs, bind_arithmetic
from ...kernels.jit import KernelSpec
from ...numeric import compute_dtype
from ...ops.arithmetic import Arithmetic, Spread
from ...plan.model import Plan
from ..arena import View
from ..epilogue import make_epilogue
from .base import Array, Unweighted

_NOT_SPREAD: Spread = (False, False, False, False)


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of any such stage."""
    return arithmetic_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Combination:  # noqa: ARG001
    """Return what runs `node` together with its epilogue."""
    assert isinstance(node.op, Arithmetic)
    dtype = compute_dtype(node.wire.dtype)
    epilogue = make_epilogue(node.epilogue, node.wire.channels, dtype)
    return Combination(node.op, bind_arithmetic(node.op.kind, epilogue, dtype), np.array(node.op.value, dtype))


class Combination(Unweighted):
    """An operation, its right operand where that is `value`, and what follows it."""

    def __init__(self, op: Arithmetic, bound: BoundArithmetic, value: Array) -> None:
        self._op = op
        self._bound = bound
        self._value = value

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``; all sources but the first lie in one memory."""
        spreads = self._op.spread or (_NOT_SPREAD,) * len(sources)
        inputs = [_place(source, spread, target) for source, spread in zip(sources, spreads, strict=True)]
        whole = [source for source, spread in zip(sources, spreads, strict=True) if not spread[0]]
        channels = min(view.channels for view in (*whole, target))
        right = sources[-1].flat
        if len(self._value):
            right = self._value
            channels = channels if len(right) == 1 else min(channels, len(right))
            inputs.append((0, (int(len(right) > 1), 0, 0, 0)))
        region = target.inner
        self._bound.run(
            sources[0].flat, right, inputs,
            target.flat, target.at(region.start), target.steps, region.shape, channels,
        )  # fmt: skip


def _place(source: View, spread: Spread, target: View) -> tuple[int, tuple[int, ...]]:
    """Return where the first voxel of ``target.inner`` finds its operand in `source`, and the steps from there."""
    start = tuple(0 if is_spread else at for at, is_spread in zip(target.inner.start, spread[1:], strict=True))
    steps = tuple(0 if is_spread else step for step, is_spread in zip(source.steps, spread, strict=True))
    return source.at(start), steps

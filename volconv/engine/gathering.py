"""Statistics of wires, gathered tile by tile and settled when their phase ends: exact, so tiles cannot be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.model import Node
from ..kernels.catalog_memory import state_length
from ..kernels.exact_sums import ExactSums, sum_specs
from ..kernels.jit import KernelSpec
from ..kernels.maxima import Maxima, maximum_specs
from ..numeric import HALVES, compute_dtype, round_to
from ..ops.base import Wire
from ..ops.global_pool import GlobalPool
from ..ops.group_norm import GroupNorm
from ..region import Region
from .arena import View

Array = NDArray[Any]


def _wants_maximum(node: Node) -> bool:
    return isinstance(node.op, GlobalPool) and node.op.kind == "max"


def gathering_specs(nodes: Iterable[Node]) -> list[KernelSpec]:
    """Return the kernels that gather what `nodes` need."""
    specs: list[KernelSpec] = []
    for node in nodes:
        dtype = compute_dtype(node.wire.dtype)
        specs.extend(maximum_specs(dtype) if _wants_maximum(node) else sum_specs(dtype))
    return specs


class Gathered:
    """What `readers`, stages that need all of one wire, have to know of it.

    Parameters
    ----------
    wire : Wire
    readers : iterable of Node
    """

    def __init__(self, wire: Wire, readers: Iterable[Node]) -> None:
        self._made_of = wire, tuple(readers)
        dtype, kinds = compute_dtype(wire.dtype), {_wants_maximum(node) for node in self._made_of[1]}
        self._sums = ExactSums(dtype, wire.channels) if False in kinds else None
        self._maxima = Maxima(dtype, wire.channels) if True in kinds else None

    def add(self, view: View, region: Region) -> None:
        """Take in `region` of `view`; regions of a volume come once each, in any order."""
        for part in (self._sums, self._maxima):
            if part is not None:
                part.add(view.flat, view.at(region.start), view.steps, region.shape)

    def twin(self) -> Gathered:
        """Return one of the same kind that knows of no voxel yet."""
        return Gathered(*self._made_of)

    def state(self) -> Array:
        """Return what is known so far, (channels, `state_length`) int64: sums, count, maxima."""
        wire, _ = self._made_of
        state = np.zeros((wire.channels, state_length(compute_dtype(wire.dtype))), np.int64)
        if self._sums is not None:
            state[:, :-2], state[:, -2] = self._sums.state(), self._sums.count
        if self._maxima is not None:
            state[:, -1] = self._maxima.state()
        return state

    def merge(self, state: Array) -> None:
        """Take in the voxels of another one's `state`."""
        if self._sums is not None:
            self._sums.merge(state[:, :-2], int(state[0, -2]))
        if self._maxima is not None:
            self._maxima.merge(state[:, -1])

    def clear(self) -> None:
        """Forget every voxel."""
        for part in (self._sums, self._maxima):
            if part is not None:
                part.clear()

    def settle(self, node: Node) -> Node:
        """Return the norm `node` with the statistics of its input."""
        op = node.op
        assert isinstance(op, GroupNorm)
        assert self._sums is not None
        sums, size = self._sums.sums(), op.num_channels // op.num_groups
        groups = [reduce(add, sums[n : n + size]) for n in range(0, len(sums), size)]
        mean, variance = [group.mean() for group in groups], [group.variance() for group in groups]
        found = {"running_mean": np.repeat(mean, size), "running_var": np.repeat(variance, size)}
        return replace(node, op=op.settled(), tensors={**node.tensors, **found})

    def pool(self, node: Node) -> Array:
        """Return what the pool `node` makes of its input, one value a channel, in the compute type."""
        dtype = compute_dtype(node.wire.dtype)
        if _wants_maximum(node):
            assert self._maxima is not None
            return self._maxima.values()
        assert self._sums is not None
        means = np.array([channel.mean() for channel in self._sums.sums()])
        with np.errstate(over="ignore"):
            kept: Array = round_to(means, node.wire.dtype) if node.wire.dtype in HALVES else means
            return kept.astype(dtype)

"""What a row's result must be: its values in float64 by the NumPy twins, in windows at both ends and in the middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.naive_engine import run_naive
from ...geometry import Triple
from ...graph.model import INPUT, Graph
from ...ops.base import Interval
from ...ops.conv3d import Conv3d

Array = NDArray[Any]
_EDGE = 8
_LARGE = 1 << 17
"""Voxels of a crop that is not worth its time: a deep network is looked at where the volume's corner cuts its view."""
TOLERANCE = 2e-5
"""Largest error allowed, relative to the largest value."""


@dataclass(frozen=True, eq=False)
class Exact:
    """The values of some windows of a result.

    Attributes
    ----------
    starts : tuple of triples
        First voxel (D, H, W) of each window.
    values : tuple of (C, d, h, w) arrays
        float64.
    """

    starts: tuple[Triple, ...]
    values: tuple[Array, ...]

    def error_of(self, result: Array) -> float:
        """Return the largest error of `result` (C, D, H, W) in the windows, relative to the largest value in them."""
        largest = max(float(np.abs(part).max()) for part in self.values)
        errors = []
        for start, part in zip(self.starts, self.values, strict=True):
            where = tuple(slice(a, a + n) for a, n in zip(start, part.shape[1:], strict=True))
            errors.append(float(np.abs(np.asarray(result[(slice(None), *where)], np.float64) - part).max()))
        # a NaN anywhere must not hide behind a comparison that is false
        return float(np.max(errors)) / largest


def make_exact(build: Callable[[Triple, int], Graph], volume: Array) -> Exact:
    """Return the exact values of the graph that `build` makes for a shape and channels, on `volume` (C, D, H, W)."""
    graph = build(volume.shape[1:], len(volume))
    shape = graph.wire(graph.outputs[0]).shape
    sizes = [min(_EDGE, n) for n in shape]
    places = [tuple((n - size) * part // 2 for n, size in zip(shape, sizes, strict=True)) for part in range(3)]
    starts: list[Triple] = []
    values = []
    for start in dict.fromkeys(places):
        crop = [crop_of(graph, axis, (a, a + n)) for axis, (a, n) in enumerate(zip(start, sizes, strict=True))]
        if starts and prod(b - a for a, b in crop) > _LARGE:
            continue
        part = volume[(slice(None), *(slice(a, b) for a, b in crop))]
        small = build(part.shape[1:], len(part))
        (result,) = run_naive(small, part).values()
        first = [a - c[0] * n // m for a, c, n, m in zip(start, crop, shape, volume.shape[1:], strict=True)]
        where = tuple(slice(a, a + n) for a, n in zip(first, sizes, strict=True))
        starts.append((start[0], start[1], start[2]))
        values.append(result[(slice(None), *where)])
    return Exact(tuple(starts), tuple(values))


def crop_of(graph: Graph, axis: int, out: Interval) -> Interval:
    """Return the part of the input along `axis` that decides the outputs `out`, aligned, cut to the volume."""
    needs: dict[str, Interval] = {graph.outputs[0]: out}
    for node in reversed(graph.nodes):
        if node.name in needs:
            found = node.op.in_interval(axis, needs[node.name])
            for name in node.inputs:
                needs[name] = _hull([found, needs.get(name, found)])
    low, high = needs[INPUT]
    # strided stages see the same voxels in a crop that starts and ends on a multiple of the total stride
    step = prod(node.op.stride[axis] for node in graph.nodes if isinstance(node.op, Conv3d))
    return max(0, low // step * step), min(graph.input.shape[axis], -(-high // step) * step)


def _hull(intervals: Sequence[Interval]) -> Interval:
    return min(a for a, _ in intervals), max(b for _, b in intervals)

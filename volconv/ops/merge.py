"""What operators of several inputs share: all of them lie on one grid, and the result lies where that grid does.

Paths that change the grid differently need not end on the same place: a stride-2 convolution of kernel 3 and padding 1
followed by a transposed one of kernel 2 and stride 2 comes back half a voxel off. Networks are trained that way, so a
difference below one voxel stands; `volconv.graph.places` names the two paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from ..errors import ShapeError
from ..geometry import Triple, VoxelMap
from .base import Wire

ROUNDING_VOXELS = 1e-6
"""Differences up to this are what rounding leaves of one place reached by two paths."""
LIMIT_VOXELS = 1.0
"""Differences from here on are errors."""


def merge_wires(inputs: Sequence[Wire], names: Sequence[str] = (), *, broadcast: bool = False) -> Wire:
    """Return the wire whose grid the result has: that of the path with the fewest changes of grid, the first of equals.

    Each change may put voxels half a voxel off, so the shortest path says best where they lie.

    Parameters
    ----------
    inputs : sequence of Wire
        At least one.
    names : sequence of str, optional
        What to call each in a message.
    broadcast : bool
        Whether a length of 1 fits every other: along such an axis the longer inputs alone say where voxels lie.

    Raises
    ------
    ShapeError
        For different sizes or types, or voxels that lie a voxel or more apart.
    """
    names = names or [f"input {n}" for n in range(1, len(inputs) + 1)]
    _check_sizes(inputs, names, broadcast)
    shape = _full_shape(inputs)
    kept = [_says_where(inputs, axis, shape) for axis in range(3)]
    for best in dict.fromkeys(kept):
        for name, wire in zip(names, inputs, strict=True):
            apart = voxels_apart(inputs[best], wire)
            if apart >= LIMIT_VOXELS:
                raise ShapeError(
                    f"{names[best]} {describe_place(inputs[best])} and {name} {describe_place(wire)}: up to {apart:g} "
                    "voxels apart, expected paths that agree on where a voxel lies"
                )
    return inputs[kept[0]] if len(set(kept)) == 1 else _joined([inputs[n] for n in kept])


def _check_sizes(inputs: Sequence[Wire], names: Sequence[str], broadcast: bool) -> None:
    rule = "or 1 along an axis" if broadcast else "which a volume has whose size the strides divide"
    for (name, wire), (other_name, other) in combinations(zip(names, inputs, strict=True), 2):
        pairs = zip(wire.shape, other.shape, strict=True)
        if any(n != m and not (broadcast and 1 in (n, m)) for n, m in pairs):
            raise ShapeError(
                f"{name} of {_times(wire)} voxels and {other_name} of {_times(other)}, expected equal sizes, {rule}"
            )
        if wire.dtype != other.dtype:
            raise ShapeError(f"{name} in {wire.dtype} and {other_name} in {other.dtype}, expected one type")


def _full_shape(inputs: Sequence[Wire]) -> Triple:
    d, h, w = (max(wire.shape[axis] for wire in inputs) for axis in range(3))
    return (d, h, w)


def _says_where(inputs: Sequence[Wire], axis: int, shape: Triple) -> int:
    """Return the number of the input whose voxels those of the result are along `axis`."""

    def order(n: int) -> tuple[bool, bool, int]:
        return inputs[n].shape[axis] != shape[axis], inputs[n].shape != shape, inputs[n].moves

    return min(range(len(inputs)), key=order)


def _joined(along: Sequence[Wire]) -> Wire:
    """Return a wire of which each axis is that of one of three."""
    d, h, w = along

    def each(values: Callable[[Wire], Sequence[Any]]) -> Any:
        return (values(d)[0], values(h)[1], values(w)[2])

    spacing = None if any(wire.spacing_mm is None for wire in along) else each(lambda wire: wire.spacing_mm or ())
    places = VoxelMap(each(lambda wire: wire.voxel_map.scale), each(lambda wire: wire.voxel_map.offset))
    moves = max(wire.moves for wire in along)
    return Wire(each(lambda wire: wire.shape), d.channels, d.dtype, places, spacing, moves)


def voxels_apart(a: Wire, b: Wire) -> float:
    """Return how far apart two wires put the same voxel, at most, in voxels of `a`, along axes of equal length."""
    maps = zip(a.voxel_map.scale, a.voxel_map.offset, b.voxel_map.scale, b.voxel_map.offset, strict=True)
    return max(
        (
            abs(((bs - as_) * index + bo - ao) / as_)
            for (as_, ao, bs, bo), n, other in zip(maps, a.shape, b.shape, strict=True)
            for index in (0, n - 1)
            if n == other
        ),
        default=0.0,
    )


def describe_place(wire: Wire) -> str:
    """Return where a wire's voxels lie, in voxels of the input volume."""
    scale, offset = wire.voxel_map.scale, wire.voxel_map.offset
    steps = "" if scale == (1.0, 1.0, 1.0) else f" in steps of {_numbers(scale)}"
    return f"starts at voxel {_numbers(offset)} of the volume{steps}"


def _numbers(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"


def _times(wire: Wire) -> str:
    return " x ".join(map(str, wire.shape))

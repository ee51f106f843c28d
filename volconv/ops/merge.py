"""What operators of several inputs share: all of them lie on one grid, and the result lies where that grid does.

Paths that change the grid differently need not end on the same place: a stride-2 convolution of kernel 3 and padding 1
followed by a transposed one of kernel 2 and stride 2 comes back half a voxel off. Networks are trained that way, so a
difference below one voxel stands; `volconv.graph.places` names the two paths.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ShapeError
from .base import Wire

ROUNDING_VOXELS = 1e-6
"""Differences up to this are what rounding leaves of one place reached by two paths."""
LIMIT_VOXELS = 1.0
"""Differences from here on are errors."""


def merge_wires(inputs: Sequence[Wire], names: Sequence[str] = ()) -> Wire:
    """Return the wire whose grid the result has: that of the path with the fewest changes of grid, the first of equals.

    Each change may put voxels half a voxel off, so the shortest path says best where they lie.

    Parameters
    ----------
    inputs : sequence of Wire
        At least one.
    names : sequence of str, optional
        What to call each in a message.

    Raises
    ------
    ShapeError
        For different sizes or types, or voxels that lie a voxel or more apart.
    """
    names = names or [f"input {n}" for n in range(1, len(inputs) + 1)]
    first = inputs[0]
    for name, wire in zip(names, inputs, strict=True):
        if wire.shape != first.shape:
            raise ShapeError(
                f"{names[0]} of {_times(first)} voxels and {name} of {_times(wire)}, expected equal sizes, which a "
                "volume has whose size the strides divide"
            )
        if wire.dtype != first.dtype:
            raise ShapeError(f"{names[0]} in {first.dtype} and {name} in {wire.dtype}, expected one type")
    kept = min(range(len(inputs)), key=lambda n: inputs[n].moves)
    for name, wire in zip(names, inputs, strict=True):
        apart = voxels_apart(inputs[kept], wire)
        if apart >= LIMIT_VOXELS:
            raise ShapeError(
                f"{names[kept]} {describe_place(inputs[kept])} and {name} {describe_place(wire)}: up to {apart:g} "
                "voxels apart, expected paths that agree on where a voxel lies"
            )
    return inputs[kept]


def voxels_apart(a: Wire, b: Wire) -> float:
    """Return how far apart two wires of one shape put the same voxel, at most, in voxels of `a`."""
    return max(
        abs((bs - as_) * index + bo - ao) / as_
        for as_, ao, bs, bo, length in zip(
            a.voxel_map.scale, a.voxel_map.offset, b.voxel_map.scale, b.voxel_map.offset, a.shape, strict=True
        )
        for index in (0, length - 1)
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

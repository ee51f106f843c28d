"""Rounds float32 values to what float16 or bfloat16 can hold, in place: half precision is stored so, never computed in.

Rounding is to nearest, ties to even (IEEE 754); values beyond the range become infinite, NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from llvmlite import ir

from .blocks import intrinsic
from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void

HALVES = ("float16", "bfloat16")
Array = np.ndarray[Any, Any]
_THREE = types.UniTuple(int64, 3)


def half_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernel of `run_round` for `dtype`, one of `HALVES`."""
    return [KernelSpec("halves.round", "float32", (HALVES.index(dtype),))]


def run_round(dtype: str, x: Array, start: int, steps: Sequence[int], box: Sequence[int], channels: int) -> None:
    """Round every value of a box in place.

    Parameters
    ----------
    dtype : str
        ``float16`` or ``bfloat16``.
    x : flat float32 array
    start : int
        Element of voxel (0, 0, 0) of channel 0.
    steps : 4 ints
        Elements from one channel, z, y, x to the next; either x or the channel lies side by side, and channels that lie
        so fill the step along x.
    box : 3 ints
        Voxels along z, y, x.
    channels : int
    """
    c, z, y, along = (int(step) for step in steps)
    if min(*box, channels) <= 0:
        return
    depth, height, width = (int(n) for n in box)
    if along == 1:
        sizes, outer, length = (int(channels), depth, height), (c, z, y), width
    else:
        sizes, outer, length = (1, depth, height), (0, z, y), width * along
    get_kernel(half_specs(dtype)[0])(x, start, sizes, outer, length, prod(sizes))


@intrinsic
def to_float16(_context: Any, value: Any) -> Any:
    """Return a float32 rounded to float16, as a float32."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.fpext(builder.fptrunc(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(value), build


@intrinsic
def to_bfloat16(_context: Any, value: Any) -> Any:
    """Return a float32 rounded to bfloat16, its upper half, as a float32."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.bitcast(args[0], word)
        odd = builder.and_(builder.lshr(bits, word(16)), word(1))
        rounded = builder.add(bits, builder.add(odd, word(0x7FFF)))
        kept = builder.bitcast(builder.and_(rounded, word(0xFFFF0000)), ir.FloatType())
        return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), args[0], kept)

    return types.float32(value), build


@inlined
def _as_float16(value: Any) -> Any:
    return to_float16(value)


@inlined
def _as_bfloat16(value: Any) -> Any:
    return to_bfloat16(value)


@register("halves.round", parallel=True)
def make_round(real: Any, code: int) -> tuple[Any, Any]:
    """Make the kernel that rounds lines of neighbouring values to number `code` of `HALVES`; parallel over lines."""
    to_half = (_as_float16, _as_bfloat16)[code]

    def round_lines(x: Any, start: Any, sizes: Any, steps: Any, length: Any, lines: Any) -> None:
        for line in prange(lines):
            z = line // sizes[2]
            place = start + line % sizes[2] * steps[2] + z % sizes[1] * steps[1] + z // sizes[1] * steps[0]
            for i in range(length):
                x[place + i] = to_half(x[place + i])

    return round_lines, void(flat(real, writable=True), int64, _THREE, _THREE, int64, int64)

"""Channels spread over blocks of voxels: each row of outputs is woven from rows of as many channels as a block is wide.

Outputs lie channels first; the input may lie in any layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, inlined, int64, prange, register, types, void
from .scalar import load, store

Array = np.ndarray[Any, Any]
_TASKS = 64  # enough for threads to even out


def shuffle_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernel `run_shuffle` calls, for `jit.missing` and a child process."""
    return [KernelSpec("shuffle.rows", dtype)]


def run_shuffle(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
    first: Sequence[int],
    factors: Sequence[int],
    apart: tuple[int, int],
) -> None:
    """Copy every output (z, y, x) of a box, for every channel c < `channels`.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64; they must not overlap
    x_start : int
        Element of voxel (0, 0, 0) of channel 0 of the volume, which need not be in `x`.
    out_start : int
        Element of the box's first output.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next; outputs along x lie side by side.
    box : 3 ints
        Outputs along z, y, x.
    channels : int
        Of the output.
    first : 3 ints
        The box's first output, in voxels of the whole output.
    factors : 3 ints
        Size of a block: rd, rh, rw.
    apart : 2 ints
        Input channels from one output channel to the next, and from one place of a block to the next.
    """
    if min(*box, channels) <= 0:
        return
    if out_steps[3] != 1 and box[2] > 1:
        raise ValueError(f"outputs along x {out_steps[3]} elements apart, expected 1")
    get_kernel(KernelSpec("shuffle.rows", out.dtype.name))(
        *(x, x_start, tuple(x_steps), out, out_start, tuple(out_steps), (channels, *box)),
        *(tuple(first), tuple(factors), apart),
    )


@inlined
def weave_row(x: Any, row: Any, steps: Any, out: Any, target: Any, first: Any, width: Any, factor: Any) -> None:
    """Set `width` outputs from place `first` of a row on; `steps` lead from channel to channel and along x."""
    if factor == 2 and steps[1] == 1:
        odd = first % 2
        if odd:
            store(out, target, load(x, row + steps[0] + first // 2))
        even, again = row + (first + odd) // 2, row + (first + odd) // 2 + steps[0]
        pairs = (width - odd) // 2
        for j in range(pairs):
            store(out, target + odd + 2 * j, load(x, even + j))
            store(out, target + odd + 2 * j + 1, load(x, again + j))
        if odd + 2 * pairs < width:
            store(out, target + width - 1, load(x, even + pairs))
        return
    for k in range(factor):
        begin = (k - first) % factor
        source = row + k * steps[0] + (first + begin) // factor * steps[1]
        for j in range((width - begin + factor - 1) // factor):
            store(out, target + begin + j * factor, load(x, source + j * steps[1]))


@register("shuffle.rows", parallel=True)
def make_rows(real: Any) -> tuple[Any, Any]:
    """Make the kernel; rows run in parallel."""

    def shuffle_rows(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        first: Any,
        factors: Any,
        apart: Any,
    ) -> None:
        rows = sizes[0] * sizes[1] * sizes[2]
        tasks = min(_TASKS, rows)
        for task in prange(tasks):
            for unit in range(rows * task // tasks, rows * (task + 1) // tasks):
                y, rest = unit % sizes[2], unit // sizes[2]
                z, c = rest % sizes[1], rest // sizes[1]
                at_z, at_y = first[0] + z, first[1] + y
                place = (at_z % factors[0] * factors[1] + at_y % factors[1]) * factors[2]
                row = x_start + (c * apart[0] + place * apart[1]) * x_steps[0]
                row += at_z // factors[0] * x_steps[1] + at_y // factors[1] * x_steps[2]
                target = out_start + c * out_steps[0] + z * out_steps[1] + y * out_steps[2]
                steps = (apart[1] * x_steps[0], x_steps[3])
                weave_row(x, row, steps, out, target, first[2], sizes[3], factors[2])

    read, written = flat(real), flat(real, writable=True)
    two, three, four = (types.UniTuple(int64, n) for n in (2, 3, 4))
    return shuffle_rows, void(read, int64, four, written, int64, four, four, three, three, two)

"""Layer normalisation over channels: mean and variance of each voxel's channels, in two passes, then scale and shift.

Sums run over channels 0, 1, … in this order for every voxel by itself, so layouts, boxes and vectors change no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .catalog_memory import LAYER_NORM_ROW, LAYER_NORM_TASKS
from .jit import KernelSpec, flat, get_kernel, int64, prange, register, thread_count, types, void
from .scalar import fma, load, sqrt, store

Array = np.ndarray[Any, Any]


def layer_norm_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `run_layer_norm` may call, for `jit.missing` and a child process."""
    return [KernelSpec("layer_norm.normalise", dtype, (LAYER_NORM_ROW,))]


def run_layer_norm(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    tables: tuple[Array, Array],
    eps: float,
    scratch: Array,
) -> None:
    """Normalise every voxel (z, y, x) of a box over its C channels.

    ``out[out_start + c*oc + z*oz + y*oy + x*ox]`` becomes ``fma((v - m)*r, weight[c], bias[c])``, v = ``x[x_start +
    c*xc + z*xz + y*xy + x*xx]``, m the sum of v over c divided by C, r = ``1/sqrt(s/C + eps)``, s the sum of ``(v -
    m)²``. Input and output must not overlap.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64
    x_start, out_start : int
        Element of voxel (0, 0, 0) of channel 0.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next.
    box : 3 ints
        Voxels along z, y, x.
    tables : two (C,) arrays
        weight and bias.
    eps : float
    scratch : flat array of `layer_norm_elements` elements
    """
    if min(box) <= 0:
        return
    segments = -(-box[2] // LAYER_NORM_ROW)
    tasks = min(box[0] * box[1] * segments, len(scratch) // (2 * LAYER_NORM_ROW), LAYER_NORM_TASKS * thread_count())
    kernel = get_kernel(KernelSpec("layer_norm.normalise", out.dtype.name, (LAYER_NORM_ROW,)))
    places = (x, x_start, tuple(x_steps), out, out_start, tuple(out_steps), tuple(box))
    kernel(*places, *tables, out.dtype.type(eps), scratch, tasks)


@register("layer_norm.normalise", parallel=True)
def make_normalise(real: Any, row: int) -> tuple[Any, Any]:
    """Make the kernel for rows of `row` voxels at a time; they run in parallel."""
    one = np.float32(1) if real.bitwidth == 32 else np.float64(1)

    def normalise(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        box: Any,
        weight: Any,
        bias: Any,
        eps: Any,
        scratch: Any,
        tasks: Any,
    ) -> None:
        segments = (box[2] + row - 1) // row
        units, channels = box[0] * box[1] * segments, len(weight)
        count, x_step, step = real(channels), x_steps[3], out_steps[3]
        for task in prange(tasks):
            means = task * 2 * row
            scales = means + row
            for unit in range(units * task // tasks, units * (task + 1) // tasks):
                first, line = unit % segments * row, unit // segments
                z, y, n = line // box[1], line % box[1], min(row, box[2] - first)
                source = x_start + z * x_steps[1] + y * x_steps[2] + first * x_step
                target = out_start + z * out_steps[1] + y * out_steps[2] + first * step
                for i in range(n):
                    store(scratch, means + i, real(0))
                    store(scratch, scales + i, real(0))
                for c in range(channels):
                    for i in range(n):
                        v = load(x, source + c * x_steps[0] + i * x_step)
                        store(scratch, means + i, load(scratch, means + i) + v)
                for i in range(n):
                    store(scratch, means + i, load(scratch, means + i) / count)
                for c in range(channels):
                    for i in range(n):
                        v = load(x, source + c * x_steps[0] + i * x_step) - load(scratch, means + i)
                        store(scratch, scales + i, fma(v, v, load(scratch, scales + i)))
                for i in range(n):
                    store(scratch, scales + i, one / sqrt(load(scratch, scales + i) / count + eps))
                for c in range(channels):
                    w, b = load(weight, c), load(bias, c)
                    for i in range(n):
                        v = load(x, source + c * x_steps[0] + i * x_step) - load(scratch, means + i)
                        v = fma(v * load(scratch, scales + i), w, b)
                        store(out, target + c * out_steps[0] + i * step, v)

    four, three = types.UniTuple(int64, 4), types.UniTuple(int64, 3)
    read, written = flat(real), flat(real, writable=True)
    places = (read, int64, four, written, int64, four, three)
    return normalise, void(*places, read, read, real, written, int64)

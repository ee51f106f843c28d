"""The Euclidean norm over channels: one value a voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, int64, prange, register, types, void
from .scalar import fma, load, sqrt, store
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)


def norm_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `run_vector_norm` calls, for `jit.missing` and a child process."""
    return [KernelSpec("norm.vector_norm", dtype)]


def run_vector_norm(
    x: Array,
    x_start: int,
    x_steps: Sequence[int],
    out: Array,
    out_start: int,
    out_steps: Sequence[int],
    box: Sequence[int],
    channels: int,
) -> None:
    """Compute the norm over `channels` channels at every voxel (z, y, x) of a box.

    ``out[out_start + z*oz + y*oy + x*ox]`` becomes the square root of the sum over c = 0, 1, … in this order of
    ``fma(v, v, sum)``, v = ``x[x_start + c*xc + z*xz + y*xy + x*xx]``. Input and output must not overlap.

    Parameters
    ----------
    x, out : flat arrays of one dtype, float32 or float64
    x_start, out_start : int
        Element of voxel (0, 0, 0) of channel 0.
    x_steps, out_steps : 4 ints
        Elements from one channel, z, y, x to the next; the output's first is not used.
    box : 3 ints
        Voxels along z, y, x.
    channels : int
        Channels to sum over.
    """
    if min(box) <= 0:
        return
    walk = make_walk(x_steps, out_steps, box, 1, by_channel=False)
    kernel = get_kernel(KernelSpec("norm.vector_norm", out.dtype.name))
    places = (x, x_start, walk.x_steps, out, out_start, walk.out_steps, walk.sizes)
    kernel(*places, walk.segment, walk.tasks, x_steps[0], channels)


@register("norm.vector_norm", parallel=True)
def make_vector_norm(real: Any) -> tuple[Any, Any]:
    """Make the kernel; segments of rows run in parallel, and each is summed channel after channel in the cache."""

    def vector_norm(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        segment: Any,
        tasks: Any,
        channel_step: Any,
        channels: Any,
    ) -> None:
        segments = (sizes[4] + segment - 1) // segment
        units = sizes[0] * sizes[1] * sizes[2] * sizes[3] * segments
        for task in prange(tasks):
            place = find_place(units * task // tasks, sizes, segments)
            for _ in range(units * task // tasks, units * (task + 1) // tasks):
                first = place[4] * segment
                count = min(segment, sizes[4] - first)
                source = x_start + offset_of(place, x_steps) + first * x_steps[4]
                target = out_start + offset_of(place, out_steps) + first
                for i in range(count):
                    store(out, target + i, real(0))
                for c in range(channels):
                    for i in range(count):
                        v = load(x, source + c * channel_step + i * x_steps[4])
                        store(out, target + i, fma(v, v, load(out, target + i)))
                for i in range(count):
                    store(out, target + i, sqrt(load(out, target + i)))
                place = next_place(place, sizes, segments)

    read, written = flat(real), flat(real, writable=True)
    steps = (int64, _FIVE)
    return vector_norm, void(read, *steps, written, *steps, _FIVE, int64, int64, int64, int64)

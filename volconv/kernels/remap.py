"""Other numbers in place of some: labels renamed, all others kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, int64, prange, register, types, void
from .scalar import load, store
from .walk import find_place, make_walk, next_place, offset_of

Array = np.ndarray[Any, Any]
_FIVE = types.UniTuple(int64, 5)


def remap_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `BoundRemap.run` calls, for `jit.missing` and a child process."""
    return [KernelSpec("remap.replace", dtype)]


class BoundRemap:
    """Pairs of numbers, ready to run on volumes of one type.

    Parameters
    ----------
    labels : mapping
        Number to what stands in its place; all fit `dtype` exactly.
    dtype : str
        ``float32`` or ``float64``.
    """

    def __init__(self, labels: Mapping[int, int], dtype: str) -> None:
        self._found = np.array([*labels, 0], dtype)  # one more: a kernel takes no empty array
        self._put = np.array([*labels.values(), 0], dtype)
        self._pairs = len(labels)

    def run(
        self,
        x: Array,
        x_start: int,
        x_steps: Sequence[int],
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        box: Sequence[int],
        channels: int,
    ) -> None:
        """Write every value of `channels` channels at every voxel (z, y, x) of a box, replaced where a pair says so.

        Input and output must not overlap. What a pair puts is not looked at again.

        Parameters
        ----------
        x, out : flat arrays of the bound dtype
        x_start, out_start : int
            Element of voxel (0, 0, 0) of channel 0.
        x_steps, out_steps : 4 ints
            Elements from one channel, z, y, x to the next.
        box : 3 ints
            Voxels along z, y, x.
        channels : int
        """
        if min(*box, channels) <= 0:
            return
        walk = make_walk(x_steps, out_steps, box, channels, by_channel=False)
        kernel = get_kernel(KernelSpec("remap.replace", out.dtype.name))
        places = (x, x_start, walk.x_steps, out, out_start, walk.out_steps, walk.sizes)
        kernel(*places, walk.segment, walk.tasks, self._found, self._put, self._pairs)


@register("remap.replace", parallel=True)
def make_replace(real: Any) -> tuple[Any, Any]:
    """Make the kernel; segments of rows run in parallel, and each is swept pair after pair in the cache."""

    def replace(
        x: Any,
        x_start: Any,
        x_steps: Any,
        out: Any,
        out_start: Any,
        out_steps: Any,
        sizes: Any,
        segment: Any,
        tasks: Any,
        found: Any,
        put: Any,
        pairs: Any,
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
                    store(out, target + i, load(x, source + i * x_steps[4]))
                for n in range(pairs):
                    old, new = load(found, n), load(put, n)
                    for i in range(count):
                        is_old = load(x, source + i * x_steps[4]) == old
                        store(out, target + i, new if is_old else load(out, target + i))
                place = next_place(place, sizes, segments)

    read, written = flat(real), flat(real, writable=True)
    steps = (int64, _FIVE)
    return replace, void(read, *steps, written, *steps, _FIVE, int64, int64, read, read, int64)

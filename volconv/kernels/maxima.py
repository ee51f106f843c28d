"""The largest value of each channel, NaN if there is one, and 0 rather than -0: the same in whatever order.

A float's bits, read as an integer, rise with its value, those of negative numbers but for the sign falling; so floats
are compared as integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .jit import KernelSpec, flat, get_kernel, int64, prange, register, thread_count, types, void
from .scalar import load

Array = np.ndarray[Any, Any]
_BITS = {"float32": np.int32, "float64": np.int64}
_NOTHING = np.iinfo(np.int64).min


def maximum_specs(dtype: str) -> list[KernelSpec]:
    """Return the kernels `Maxima` calls, for `jit.missing` and a child process."""
    return [KernelSpec("maxima.fold", dtype)]


class Maxima:
    """The largest value of every channel, over boxes of voxels that come in any order.

    Parameters
    ----------
    dtype : str
        Of the values: ``float32`` or ``float64``.
    channels : int
    """

    def __init__(self, dtype: str, channels: int) -> None:
        self._dtype, self._channels = dtype, channels
        self._kernel = get_kernel(KernelSpec("maxima.fold", dtype))
        self._tasks = thread_count()
        self._keys = np.full((self._tasks, channels), _NOTHING)

    def add(self, x: Array, start: int, steps: Sequence[int], box: Sequence[int]) -> None:
        """Take in every voxel (z, y, x) of a box, ``x[start + c*sc + z*sz + y*sy + x*sx]`` for channel c.

        Parameters
        ----------
        x : flat array of the dtype
        start : int
            Element of voxel (0, 0, 0) of channel 0.
        steps : 4 ints
            Elements from one channel, z, y, x to the next.
        box : 3 ints
            Voxels along z, y, x.
        """
        if min(box) > 0:
            sizes, by = (int(box[0]), int(box[1]), int(box[2])), tuple(int(step) for step in steps)
            bits = x.view(_BITS[self._dtype])
            self._kernel(bits, start, by, sizes, self._channels, self._keys.ravel(), self._tasks)

    def state(self) -> Array:
        """Return what was taken in so far, (channels,) int64; `merge` takes it."""
        return np.asarray(self._keys.max(axis=0))

    def merge(self, state: Array) -> None:
        """Take in what another one's `state` holds."""
        np.maximum(self._keys[0], state, out=self._keys[0])

    def clear(self) -> None:
        """Forget all that was taken in."""
        self._keys[...] = _NOTHING

    def values(self) -> Array:
        """Return the largest value of each channel, (C,)."""
        keys = self._keys.max(axis=0)
        signless = np.int64(2 ** (8 * np.dtype(self._dtype).itemsize - 1) - 1)
        values: Array = np.where(keys < 0, keys ^ signless, keys).astype(_BITS[self._dtype]).view(self._dtype)
        return values


@register("maxima.fold", parallel=True)
def make_fold(real: Any) -> tuple[Any, Any]:
    """Make the kernel; rows run in parallel, every task comparing with keys of its own."""
    whole = types.int32 if real.bitwidth == 32 else int64
    most = (1 << (real.bitwidth - 1)) - 1
    infinity = 0x7F800000 if real.bitwidth == 32 else 0x7FF << 52

    def fold(bits: Any, start: Any, steps: Any, sizes: Any, channels: Any, keys: Any, tasks: Any) -> None:
        rows = channels * sizes[0] * sizes[1]
        for task in prange(tasks):
            for row in range(rows * task // tasks, rows * (task + 1) // tasks):
                y, plane = row % sizes[1], row // sizes[1]
                z, c = plane % sizes[0], plane // sizes[0]
                at = start + c * steps[0] + z * steps[1] + y * steps[2]
                largest = keys[task * channels + c]
                for i in range(sizes[2]):
                    v = int64(load(bits, at + i * steps[3]))
                    key = v ^ most if v < 0 else v
                    key = int64(most) if (v & most) > infinity else key
                    largest = key if key > largest else largest
                keys[task * channels + c] = largest

    three, four = types.UniTuple(int64, 3), types.UniTuple(int64, 4)
    return fold, void(flat(whole), int64, four, three, int64, flat(int64, writable=True), int64)

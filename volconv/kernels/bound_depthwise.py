"""Bind a depthwise layer's weights to the kernel of channels last, and cut its jobs into bands of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import conv_plan as at
from .bound_direct import BoundConv
from .conv_pack import LINE_BYTES, align_values
from .products import SLID

Array = np.ndarray[Any, Any]
_CACHED_PLANES = 3 << 16  # bytes of inputs that a band reads at a time: with more, some processes take twice as long


class BoundDepthwise(BoundConv):
    """A convolution of each channel by itself; input and output lie channels last."""

    def _place_taps(self, plan: Array, taps: Array) -> tuple[Array, Array]:
        reach, step = int(taps.max() - taps.min()) if len(taps) else 0, max(1, int(plan[at.X_Y]))
        planes, rest = divmod(reach, max(1, int(plan[at.X_Z])))
        rows = _CACHED_PLANES // ((planes + 1) * step * self.shape.itemsize) - rest // step
        plan[at.BAND] = max(3, min(int(plan[at.N_Y]), rows))
        # Of what the next block of the strip reads only its last row is new, and the processor's own prefetching does
        # not follow from row to row.
        line = LINE_BYTES // self.shape.itemsize
        plan[at.AHEAD] = reach - rest % step + int(plan[at.X_Y])
        plan[at.AHEAD_LINES], plan[at.LINE] = -(-self._width // line), line
        return self._weights, np.concatenate([taps, _find_slid(taps, int(plan[at.X_X]))])

    def _by_blocks(self, rows: Array) -> Array:
        """Return (n, channel) as flat (channel block, n, width), zero where the last block is not full."""
        blocks = -(-self.shape.out_channels // self._width)
        packed = np.zeros((len(rows), blocks * self._width), self.shape.dtype)
        packed[:, : self.shape.out_channels] = rows
        return align_values(packed.reshape(len(rows), blocks, self._width).transpose(1, 0, 2).ravel())

    def _cut_jobs(self, plan: Array, threads: int) -> None:
        shape = self.shape
        blocks = -(-shape.out_channels // self._width)
        planes, bands = int(plan[at.N_Z]), -(-int(plan[at.N_Y]) // int(plan[at.BAND]))
        per_job = max(1, min(planes, planes * bands * blocks // (4 * threads)))
        plan[at.PER_JOB], plan[at.ALL_BLOCKS] = per_job, blocks
        plan[at.JOBS] = -(-planes // per_job) * bands * blocks
        plan[at.PRODUCTS], plan[at.GROUP_OUTPUTS] = shape.taps, shape.out_channels
        plan[at.AFFINE], plan[at.MODE], plan[at.THREADS] = self._affine, self._mode, threads
        plan[at.ACTIVATE] = self._activate


def _find_slid(taps: Array, step: int) -> Array:
    """Return for each tap whether `SLID` of them begin there that lie `step` elements apart."""
    steps = np.diff(taps) == step
    return np.array([i + SLID <= len(taps) and steps[i : i + SLID - 1].all() for i in range(len(taps))], np.int64)

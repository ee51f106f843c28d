"""Bind a depthwise layer's weights to the kernel of channels last, and cut its jobs into bands of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import conv_plan as at
from .bound_direct import BoundConv
from .conv_pack import LINE_BYTES, align_values

Array = np.ndarray[Any, Any]
_CACHED_PLANES = 3 << 18  # bytes of inputs that a band's planes may take: with weights they stay in the L2 cache


class BoundDepthwise(BoundConv):
    """A convolution of each channel by itself; input and output lie channels last."""

    def _place_taps(self, plan: Array, taps: Array) -> tuple[Array, Array]:
        reach = int(taps.max() - taps.min()) if len(taps) else 0
        planes = reach // max(1, int(plan[at.X_Z])) + 1
        row = max(1, int(plan[at.X_Y])) * self.shape.itemsize
        plan[at.BAND] = max(4, min(int(plan[at.N_Y]), _CACHED_PLANES // (planes * row)))
        plan[at.AHEAD] = taps.max(initial=0) + plan[at.X_Y]
        plan[at.STRIP] = 2 * self.kernel.block
        return self._weights, taps

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

    def _fetch_ahead(self, plan: Array) -> None:
        line = LINE_BYTES // self.shape.itemsize
        plan[at.AHEAD_LINES], plan[at.LINE] = -(-self._width // line), line

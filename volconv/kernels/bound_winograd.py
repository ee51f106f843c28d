"""Bind a layer's weights to the Winograd kernel: transformed weights, and where each tile reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import conv_plan as at
from .bound_direct import BoundConv, share_scratch
from .catalog import ConvKernel, ConvShape, Epilogue
from .catalog_memory import winograd_scratch, winograd_strip
from .conv_pack import Residual, pack_vectors, record_residual

Array = np.ndarray[Any, Any]


def transform_weights(weights: Array, axes: int = 3) -> Array:
    """Return (O, I, T) weights as (O, I, points), transformed along the first axes, of three taps each.

    Along each of them (g0, g1, g2) becomes g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2: in float64, rounded once to
    the type of `weights`. What is too large for it becomes infinite; kernels take sums that are not finite directly.
    """
    g = weights.astype(np.float64).reshape(*weights.shape[:2], *[3] * axes, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        for axis in range(2, 2 + axes):
            first, middle, end = (np.take(g, i, axis) for i in range(3))
            sides = first + end
            g = np.stack([first, (sides + middle) / 2, (sides - middle) / 2, end], axis)
        return g.reshape(*weights.shape[:2], -1).astype(weights.dtype)


def place_tiles(start: int, count: int, dilation: int, x_step: int, out_step: int) -> Array:
    """Return the table (tile, 6) of an axis: offsets of a tile's four inputs and two outputs.

    Outputs o and o + dilation of the whole volume make a tile where floor(o / dilation) is even. Inputs that only
    outputs beyond the box need are replaced by others of the box's window; an output beyond the box has offset -1.

    Parameters
    ----------
    start, count : int
        First output of the box in the whole volume, and how many.
    dilation : int
        Voxels between taps.
    x_step, out_step : int
        Elements between neighbours.
    """
    outputs = np.arange(start, start + count)
    numbers = np.unique(outputs // (2 * dilation) * dilation + outputs % dilation)
    first = numbers // dilation * 2 * dilation + numbers % dilation - start
    inputs = np.clip(first[:, None] + np.arange(4) * dilation, 0, count - 1 + 2 * dilation) * x_step
    pairs = first[:, None] + np.array([0, dilation])
    return np.hstack([inputs, np.where((pairs >= 0) & (pairs < count), pairs * out_step, -1)])


def place_residuals(start: int, count: int, dilation: int, step: int) -> Array:
    """Return the table (tile, 2) of an axis: offsets of what is added to a tile's outputs.

    Those of outputs beyond the box are those of others in it; `step` is the elements between neighbours, the other
    parameters are those of `place_tiles`.
    """
    tiles = place_tiles(start, count, dilation, 1, 1)
    outputs = tiles[:, 4:]
    return np.where(outputs < 0, outputs.max(1, keepdims=True), outputs) * step


class BoundWinograd(BoundConv):
    """A dense convolution of 3 x 3 x 3 taps at stride 1, in tiles of 2 x 2 x 2 outputs."""

    def __init__(
        self, kernel: ConvKernel, shape: ConvShape, weights: Array, bias: Array | None, epilogue: Epilogue
    ) -> None:
        super().__init__(kernel, shape, weights, bias, epilogue)
        # an output that comes out infinite or NaN is summed again directly: infinities may have cancelled on the way
        taps = weights.astype(shape.dtype).transpose(2, 1, 0).reshape(-1, shape.out_channels)
        self._direct = pack_vectors(taps, kernel.lanes)
        self._strip = winograd_strip(kernel, shape)

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights and epilogue."""
        return super().nbytes + int(self._direct.nbytes)

    def scratch_elements(self, threads: int) -> int:
        """Return the elements of working memory that `run` needs: a strip of tiles a thread."""
        return threads * winograd_scratch(self.kernel, self.shape)

    def run(
        self,
        x: Array,
        x_start: int,
        x_steps: Sequence[int],
        taps: Array,
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        box: Sequence[int],
        origin: Sequence[int] = (0, 0, 0),
        scratch: Array | None = None,
        residual: Residual | None = None,
    ) -> None:
        """Do what `BoundConv.run` says; channels of both arrays lie side by side."""
        if min(box) <= 0:
            return
        threads, scratch = share_scratch(self, scratch)
        plan = np.zeros(at.LENGTH, np.int64)
        at.fill_steps(plan, x_start, x_steps, out_start, out_steps, box)
        other = record_residual(plan, residual, self._epilogue, self._table)
        steps = [int(taps[stride] - taps[0]) for stride in (9, 3, 1)]
        tables = [
            place_tiles(origin[axis], box[axis], step // x_steps[1 + axis], x_steps[1 + axis], out_steps[1 + axis])
            for axis, step in enumerate(steps)
        ]
        self._cut_jobs(plan, threads)
        plan[[at.TILES_Z, at.TILES_Y, at.TILES_X]] = [len(table) for table in tables]
        plan[at.TILES] = np.prod([len(table) for table in tables])
        plan[at.SHARED] = steps[2] == x_steps[3]
        plan[at.JOBS] = -(-plan[at.TILES] // plan[at.STRIP])
        plan[at.X_START] += int(taps[0])
        plan[at.RESIDUAL_TABLES] = sum(table.size for table in tables)
        if residual is not None:
            tables += [
                place_residuals(origin[axis], box[axis], step // x_steps[1 + axis], residual.steps[1 + axis])
                for axis, step in enumerate(steps)
            ]
        offsets = np.concatenate([table.ravel() for table in tables])
        self._run(x, self._weights, self._direct, self._table, out, other, offsets, scratch, plan)

    def _pack_weights(self, weights: Array) -> Array:
        """Return the transformed weights: (output block, point, input channel, width)."""
        points = transform_weights(weights).transpose(2, 1, 0).reshape(-1, self.shape.out_channels)
        return pack_vectors(points, self._width)

    def _pack_table(self, rows: Array) -> Array:
        """Return the epilogue's table (row, channel) by vectors: (output vector, row, lane)."""
        return pack_vectors(rows.astype(self.shape.dtype), self.kernel.lanes)

    def _cut_jobs(self, plan: Array, threads: int) -> None:
        """Write the layer's constants into `plan`: a job is a strip of tiles."""
        shape, kernel = self.shape, self.kernel
        chunks = -(-shape.in_channels // kernel.lanes)
        plan[at.GROUP_INPUTS], plan[at.CHUNKS] = shape.in_channels, chunks
        plan[at.BLOCKS] = -(-shape.out_channels // self._width)
        plan[at.OUT_VECTORS] = -(-shape.out_channels // kernel.lanes)
        plan[at.STRIP], plan[at.THREADS] = self._strip, threads
        plan[at.AFFINE], plan[at.MODE], plan[at.ACTIVATE] = self._affine, self._mode, self._activate
        # an odd number of vectors from point to point: a power of two would map all points to a few cache sets
        plan[at.VALUES_STEP] = (chunks * self._strip + 1) * kernel.lanes
        plan[at.PRODUCTS_STEP] = (kernel.width * self._strip + 1) * kernel.lanes
        plan[at.SLOT] = winograd_scratch(kernel, shape)

"""Bind a layer's weights to the kernel of paired rows: transformed weights, and where each row reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import conv_plan as at
from .bound_direct import BoundConv, share_scratch, whole_blocks
from .bound_winograd import place_residuals, place_tiles, transform_weights
from .catalog import ConvKernel, ConvShape, Epilogue
from .catalog_memory import PairsScratch, pairs_scratch
from .conv_pack import Residual, align_values, record_residual

Array = np.ndarray[Any, Any]

_CACHE_LINE = 64
_REMEMBERED = 64  # geometries


class BoundPairs(BoundConv):
    """A convolution of 3 x k x l taps at stride 1 for few channels, in pairs of output rows."""

    def __init__(
        self, kernel: ConvKernel, shape: ConvShape, weights: Array, bias: Array | None, epilogue: Epilogue
    ) -> None:
        super().__init__(kernel, shape, weights, bias, epilogue)
        # an output that comes out infinite or NaN is summed again directly: infinities may have cancelled on the way
        self._direct = align_values(weights.astype(shape.dtype).transpose(0, 2, 1).ravel())
        self._known: dict[tuple[Any, ...], tuple[Array, Array]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights and epilogue."""
        return super().nbytes + int(self._direct.nbytes)

    def scratch_elements(self, threads: int) -> int:
        """Return the elements of working memory that `run` needs: transformed rows of a job a thread."""
        return threads * pairs_scratch(self.kernel, self.shape).elements

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
        """Do what `BoundConv.run` says; neighbours along w of all arrays lie side by side."""
        if min(box) <= 0:
            return
        taps = np.asarray(taps, np.int64)
        threads, scratch = share_scratch(self, scratch)
        # buffers of a plan have few different geometries, and only a pair's parity of the place in the volume counts
        dilation = int(taps[self.shape.taps // 3] - taps[0]) // x_steps[1]
        apart = 0 if residual is None else residual.steps[1]
        first = origin[0] % (2 * dilation)
        before = self._elements_before(x_start + int(taps[0]), x_steps)
        key = (*x_steps, *out_steps, *box, first, threads, apart, before, taps.tobytes())
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = self._lay_out(x_steps, taps, out_steps, box, first, apart, before, threads)
        plan, tables = (part.copy() for part in self._known[key])
        plan[at.X_START] = x_start + int(taps[0]) - before
        plan[at.OUT_START] = out_start
        other = record_residual(plan, residual, self._epilogue, self._table)
        self._run(x, self._weights, self._direct, self._table, out, other, tables, scratch, plan)

    def _lay_out(
        self,
        x_steps: Sequence[int],
        taps: Array,
        out_steps: Sequence[int],
        box: Sequence[int],
        first: int,
        apart: int,
        before: int,
        threads: int,
    ) -> tuple[Array, Array]:
        """Return the record and the tables for boxes of this geometry whose first output is number `first` along d.

        `apart` is the residual's step along d; rows are read from `before` elements before their first tap on.
        """
        plan = np.zeros(at.LENGTH, np.int64)
        at.fill_steps(plan, 0, x_steps, 0, out_steps, box)
        room = pairs_scratch(self.kernel, self.shape)
        plane = self.shape.taps // 3
        row = plane // room.taps_h
        plan[at.TAP_STEP] = int(taps[1] - taps[0]) if row > 1 else 0
        plan[at.TAP_STEP_H] = int(taps[row] - taps[0]) // x_steps[2] if room.taps_h > 1 else 0
        dilation = int(taps[plane] - taps[0]) // x_steps[1]
        tiles = place_tiles(first, box[0], dilation, x_steps[1], out_steps[1])
        others = place_residuals(first, box[0], dilation, apart)
        segments = self._cut_row(box[2], room)
        self._cut_jobs(plan, threads)
        self._cut_rows(plan, len(tiles) * len(segments), threads)
        plan[at.JOBS] = len(tiles) * plan[at.ROW_PARTS] * len(segments)
        plan[at.SEGMENTS], plan[at.SEGMENTS_START] = len(segments), tiles.size
        plan[at.SHIFTS] = tiles.size + segments.size
        shifts = before + np.add.outer(
            np.arange(row) * plan[at.TAP_STEP], np.arange(self.shape.in_channels) * room.length
        )
        plan[at.HALO] += before
        plan[at.BEFORE] = before
        lists = np.zeros(threads * int(plan[at.PRODUCTS]), np.int64)
        plan[at.ROOM] = plan[at.SHIFTS] + shifts.size
        plan[at.HINTS] = plan[at.ROOM] + lists.size
        lines = self._list_lines(plan)
        plan[at.RESIDUAL_TABLES] = plan[at.HINTS] + lines.size
        tables = (tiles, segments, shifts, lists, lines, others)
        return plan, np.concatenate([table.ravel() for table in tables])

    def _elements_before(self, start: int, x_steps: Sequence[int]) -> int:
        """Return how far before element `start` all rows begin at a vector, if they do where the memory does."""
        lanes = self.kernel.lanes
        return 0 if any(step % lanes for step in x_steps[:3]) else start % lanes

    def _list_lines(self, plan: Array) -> Array:
        """Return offsets of lines: of each input channel what a row reads, of each output channel what it writes.

        A point's products fetch READ_LINES of the first and WRITE_LINES of the second, of which two points take half
        each: as many as there are products for.
        """
        kernel, count, line = self.kernel, int(plan[at.PRODUCTS]), _CACHE_LINE // self.shape.itemsize
        stop = kernel.block * kernel.lanes
        read, written = (np.arange(0, end, line) for end in (stop + max(line, int(plan[at.HALO])), stop))
        reads = np.add.outer(np.arange(self.shape.in_channels) * int(plan[at.X_C]), read).ravel()[:count]
        writes = np.add.outer(np.arange(kernel.width) * int(plan[at.OUT_C]), written).ravel()
        half = min(-(-len(writes) // 2), count - len(reads))
        plan[at.READ_LINES], plan[at.WRITE_LINES] = len(reads), half
        return np.concatenate([reads, np.resize(writes, 2 * half)])

    def _cut_row(self, voxels: int, room: PairsScratch) -> Array:
        """Return the pieces of a row: where each begins, its voxels in full blocks, its voxels."""
        lanes = self.kernel.lanes
        vectors = -(-voxels // lanes)
        pieces = -(-vectors // room.vectors)
        each = -(-vectors // pieces) * lanes
        counts = [(first, min(each, voxels - first)) for first in range(0, voxels, each)]
        return np.array([(first, whole_blocks(self.kernel, count), count) for first, count in counts], np.int64)

    def _cut_rows(self, plan: Array, pairs: int, threads: int) -> None:
        """Write how many rows along h a job has: all, unless that gives some threads no work."""
        parts = max(1, -(-4 * threads // pairs))
        longest = max(int(plan[at.N_Y]) // parts, min(int(plan[at.N_Y]), 2 * int(plan[at.RING])))
        plan[at.ROW_PARTS] = -(-int(plan[at.N_Y]) // longest)
        plan[at.PER_JOB] = -(-int(plan[at.N_Y]) // int(plan[at.ROW_PARTS]))

    def _pack_weights(self, weights: Array) -> Array:
        """Return the transformed weights: (output block, point along d, tap, input channel, width)."""
        points = transform_weights(weights, 1).transpose(2, 1, 0).reshape(-1, self.shape.out_channels)
        return self._by_blocks(points)

    def _pack_table(self, rows: Array) -> Array:
        """Return the epilogue's table (row, channel) as (channel, row)."""
        return align_values(rows.T.astype(self.shape.dtype).ravel())

    def _cut_jobs(self, plan: Array, threads: int) -> None:
        """Write the layer's constants into `plan`."""
        shape, kernel = self.shape, self.kernel
        room = pairs_scratch(kernel, shape)
        plan[at.GROUP_INPUTS], plan[at.GROUP_OUTPUTS] = shape.in_channels, shape.out_channels
        plan[at.TAPS_H] = room.taps_h
        plan[at.PRODUCTS] = shape.in_channels * shape.taps // 3
        plan[at.BLOCKS] = -(-shape.out_channels // kernel.width)
        plan[at.HALO], plan[at.RING], plan[at.THREADS] = shape.reach[1], room.rows, threads
        plan[at.AFFINE], plan[at.MODE], plan[at.ACTIVATE] = self._affine, self._mode, self._activate
        plan[at.LENGTH_W], plan[at.SEGMENT] = room.length, room.segment
        plan[at.VALUES_STEP] = 4 * shape.in_channels * room.length
        plan[at.PRODUCTS_STEP] = plan[at.BLOCKS] * kernel.width * room.segment
        plan[at.WEIGHTS_STEP] = 4 * plan[at.PRODUCTS] * kernel.width
        plan[at.POINT_STEP] = shape.in_channels * room.length
        plan[at.DIRECT_STEP], plan[at.SLOT] = shape.in_channels * shape.taps, room.elements

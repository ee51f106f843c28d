"""Bind factored filters to their kernel: how a box is cut into pieces, and what stands for voxels outside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np

from . import conv_plan as at
from . import sweep_plan as sweep
from .bound_direct import BoundConv, share_scratch
from .conv_pack import align_values
from .sweep_pieces import SweepPiece, sweep_elements, sweep_piece

Array = np.ndarray[Any, Any]

_REMEMBERED = 32  # geometries
_MORE_JOBS = 8  # a thread: with so many it does not matter whether threads have equally many
_COPY_PRODUCTS = 6  # multiply-adds in the time that a voxel takes to be copied


class BoundSweep(BoundConv):
    """A filter bank whose filters are products of three vectors; `run_sweep` in place of `run`."""

    def _pack_weights(self, weights: Array) -> Array:
        self._known: dict[tuple[Any, ...], tuple[Array, Array]] = {}
        ends = np.cumsum((0, *self.shape.lengths))
        backwards = [weights[:, 0, a:b][:, ::-1] for a, b in pairwise(ends)]
        return align_values(np.hstack(backwards).ravel())

    def _pack_table(self, rows: Array) -> Array:
        return align_values(rows.T.astype(self.shape.dtype).ravel())

    def scratch_elements(self, threads: int) -> int:
        """Return the elements of working memory that `run_sweep` needs."""
        return threads * sweep_elements(self.kernel, self.shape)

    def run_sweep(
        self,
        x: Array,
        x_start: int,
        x_steps: Sequence[int],
        sources: Sequence[Array],
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        box: Sequence[int],
        scratch: Array | None = None,
    ) -> None:
        """Compute every voxel (z, y, x) of a box, for every output channel.

        Parameters
        ----------
        x, out : flat arrays of the shape's dtype
        x_start, out_start : int
            Element of voxel (0, 0, 0) of channel 0.
        x_steps, out_steps : 4 ints
            Elements from one channel, z, y, x to the next; 1 along x.
        sources : 3 int arrays
            Along z, y, x: the voxel of `x` at each position that the box's outputs read, the first output's first tap
            first, so as many as outputs and one less than taps; -1 for zero.
        box : 3 ints
            Voxels along z, y, x.
        scratch : flat array of the shape's dtype, optional
            Of at least `scratch_elements`; made for the call if left out.
        """
        if min(box) <= 0:
            return
        threads, scratch = share_scratch(self, scratch)
        key = (*x_steps, *out_steps, *box, threads, *(part.tobytes() for part in sources))
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = self._lay_out(x_steps, sources, out_steps, box, threads)
        plan, tables = self._known[key]
        plan = plan.copy()
        plan[at.X_START], plan[at.OUT_START] = x_start, out_start
        self._run(x, self._weights, self._table, out, tables, scratch, plan)

    def _lay_out(
        self,
        x_steps: Sequence[int],
        sources: Sequence[Array],
        out_steps: Sequence[int],
        box: Sequence[int],
        threads: int,
    ) -> tuple[Array, Array]:
        """Return the record and the tables for boxes of this geometry."""
        shape, (_, h, w) = self.shape, self.shape.lengths
        piece = self._choose_piece(box, threads)
        tables = _Tables()
        plan = np.zeros(sweep.LENGTH, np.int64)
        at.fill_steps(plan, 0, x_steps, 0, out_steps, box)
        plan[sweep.TAPS_D : sweep.TAPS_W + 1] = shape.lengths
        plan[sweep.FILTERS], plan[sweep.KEPT] = shape.group_outputs, piece.kept
        plan[sweep.PLANE_STEP], plan[sweep.ROW_STEP], plan[sweep.LINE_STEP] = piece.plane, piece.row, piece.line
        plan[sweep.STAGE] = piece.planes * piece.plane
        plan[sweep.LINES] = plan[sweep.STAGE] + piece.kept * piece.row
        plan[sweep.SLOT] = sweep_elements(self.kernel, shape)
        z_sources, y_sources, x_sources = (np.asarray(part, np.int64) for part in sources)
        plan[sweep.Z_TABLE] = tables.add(np.where(z_sources < 0, -1, z_sources * x_steps[1]))
        plan[sweep.Z_LENGTH], plan[sweep.Z_PIECES] = piece.planes, -(-box[0] // piece.planes)
        lanes, width = self.kernel.lanes, self.kernel.width
        columns = [
            tables.add_columns(first, n, x_sources[first : first + n + w - 1], lanes)
            for first, n in _cut(box[2], piece.voxels)
        ]
        plan[sweep.X_TABLE], plan[sweep.X_PIECES] = tables.add(np.concatenate(columns)), len(columns)
        pieces = int(shape.out_channels * plan[sweep.Z_PIECES] * len(columns))
        parts = threads // gcd(pieces, threads) if pieces < _MORE_JOBS * threads else 1
        rows = [
            tables.add_rows(first, n, y_sources[first : first + n + h - 1], x_steps[2], (h, width, piece.row))
            for first, n in _cut(box[1], max(min(box[1], h), -(-box[1] // parts)))
        ]
        plan[sweep.Y_TABLE], plan[sweep.Y_PARTS] = tables.add(np.concatenate(rows)), len(rows)
        plan[sweep.PLACES] = tables.add(np.zeros(threads * (piece.kept + h + width), np.int64))
        plan[at.JOBS], plan[at.THREADS] = pieces * len(rows), threads
        plan[at.AFFINE], plan[at.MODE], plan[at.ACTIVATE] = self._affine, self._mode, self._activate
        return plan, tables.joined()

    def _choose_piece(self, box: Sequence[int], threads: int) -> SweepPiece:
        """Return the piece, among those that fit the working memory, of which the box takes least work."""
        room, best, least = sweep_elements(self.kernel, self.shape), None, np.inf
        d, h, w = self.shape.lengths
        lanes, width = self.kernel.lanes, self.kernel.width
        for parts in range(1, max(2, box[2] // (4 * lanes)) + 1):
            voxels = _round_up(_share(box[2], parts), lanes)
            none, some = (sweep_piece(self.kernel, self.shape, n, voxels).elements for n in (0, width))
            most = (room - none) // (some - none) * width
            if most < min(2 * width, box[0]):
                continue
            pieces = _share(box[0], most)
            if pieces * parts * self.shape.out_channels < _MORE_JOBS * threads:  # the same number for every thread
                pieces = _round_up(pieces, threads)
            planes = max(min(most, 2 * width), _round_up(_share(box[0], pieces), width))
            stored = voxels + w - 1 if parts > 1 else voxels
            work = (stored * ((planes + d - 1) / planes * _COPY_PRODUCTS + d + h)) / voxels + 2 * w
            if work < least:
                least, best = work, sweep_piece(self.kernel, self.shape, planes, voxels)
        return best or sweep_piece(self.kernel, self.shape, min(box[0], 2 * width), max(4 * lanes, w // 2))


def _share(length: int, parts: int) -> int:
    """Return the quotient, rounded up."""
    return -(-length // parts)


def _round_up(length: int, multiple: int) -> int:
    return _share(length, multiple) * multiple


def _cut(length: int, most: int) -> list[tuple[int, int]]:
    """Return first and length of the parts of an axis."""
    return [(first, min(most, length - first)) for first in range(0, length, most)]


class _Tables:
    """The kernel's tables, put one behind the other."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._length = 0

    def add(self, part: Array) -> int:
        """Append a table and return where it begins."""
        start = self._length
        self._parts.append(part.astype(np.int64).ravel())
        self._length += part.size
        return start

    def joined(self) -> Array:
        """Return all of them."""
        return np.concatenate(self._parts)

    def add_rows(self, first: int, count: int, sources: Array, x_step: int, ring: tuple[int, int, int]) -> Array:
        """Return the record of a part along h, its table added: rows that a ring holds already are not summed again.

        `ring` holds the taps along h, the output rows made at once, and the elements of a row.
        """
        taps, width, row = ring
        rows = np.zeros((len(sources) + width, sweep.ROW_RECORD), np.int64)
        free, held = list(range(taps + width - 1)), dict[int, int]()
        ends = dict[int, int]()  # of each row held, the last position that reads it
        for position, source in enumerate(sources.tolist()):
            oldest = max(0, position - taps + 1) // width * width  # first position of the rows now at work
            if source not in held:
                for gone in [other for other in held if ends[other] < oldest]:
                    free.append(held.pop(gone))
                held[source] = free.pop(0)
                rows[position, sweep.ROW_FRESH] = 1
            ends[source] = position
            rows[position, sweep.ROW_PLACE] = held[source] * row
            rows[position, sweep.ROW_SOURCE] = source * x_step if source >= 0 else -1
        # the last rows made at once may be more than there are: what they read is never stored
        rows[len(sources) :] = rows[len(sources) - 1]
        record = np.zeros(sweep.Y_RECORD, np.int64)
        record[sweep.Y_FIRST], record[sweep.Y_COUNT], record[sweep.Y_ROWS] = first, count, self.add(rows)
        return record

    def add_columns(self, first: int, count: int, sources: Array, lanes: int) -> Array:
        """Return the record of a piece along w, its tables added.

        Stored are the longest run of positions that lie side by side in the input too, and those whose source is not
        among them; the others are filled once the sums along h are made.
        """
        positions = np.arange(len(sources))
        begin, end = _longest_run(sources)
        inside = (positions >= begin) & (positions < end)
        low, high = (int(sources[begin]), int(sources[end - 1])) if end > begin else (0, -1)
        apart = ~inside & (sources >= 0) & ((sources < low) | (sources > high))
        kept = positions[inside | apart]
        position, stop = (int(kept[0]), int(kept[-1]) + 1) if len(kept) else (0, 0)
        own = (positions >= position) & (positions < stop)
        extras = positions[own & ~inside & (sources >= 0)]
        outside = positions[~own | (sources < 0)]
        wanted = sources[outside]
        fills = np.where(wanted < 0, -1, begin + wanted - low)
        record = np.zeros(sweep.X_RECORD, np.int64)
        record[sweep.X_FIRST], record[sweep.X_COUNT] = first, count
        record[sweep.X_STORED], record[sweep.X_POSITION] = stop - position, position
        record[sweep.X_LEAD] = -position % lanes
        record[sweep.X_COLUMN], record[sweep.X_RUN], record[sweep.X_SOURCE] = begin - position, end - begin, low
        record[sweep.X_EXTRAS] = len(extras)
        record[sweep.X_EXTRAS_AT] = self.add(np.column_stack([extras - position, sources[extras]]))
        record[sweep.X_FILLS] = len(outside)
        record[sweep.X_FILLS_AT] = self.add(np.column_stack([outside, fills]))
        return record


def _longest_run(sources: Array) -> tuple[int, int]:
    """Return begin and end of the longest run of sources >= 0 that rise by one."""
    breaks = np.flatnonzero((np.diff(sources) != 1) | (sources[1:] < 0) | (sources[:-1] < 0)) + 1
    edges = np.concatenate([[0], breaks, [len(sources)]])
    longest = int(np.argmax(np.diff(edges)))
    begin, end = int(edges[longest]), int(edges[longest + 1])
    return (begin, end) if sources[begin] >= 0 else (0, 0)

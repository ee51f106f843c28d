"""Bind a layer's weights to the kernel of Winograd's minimal filters: forward and transposed ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from . import conv_plan as at
from .bound_direct import BoundConv, share_scratch
from .catalog import ConvKernel, ConvShape, Epilogue
from .catalog_filters import FILTERS, MOST_OUTPUTS, MOST_TAPS, MOST_VALUES, Filter
from .catalog_memory import winograd_scratch, winograd_strip
from .conv_minimal import OUTPUT_LENGTH, VALUE_LENGTH
from .conv_pack import Residual, pack_vectors, record_residual

Array = np.ndarray[Any, Any]


def transform_taps(weights: Array, filters: Sequence[Filter]) -> Array:
    """Return (O, I, T) weights as (O, I, weights of the filters), in float64, then in the type of `weights`.

    What is too large for it becomes infinite; the kernel takes sums that are not finite directly.
    """
    g = weights.astype(np.float64).reshape(*weights.shape[:2], *(len(f.weights[0]) for f in filters))
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, f in enumerate(filters, 2):
            parts = []
            for coefficients in f.weights:
                terms = [np.take(g, t, axis) * c for t, c in enumerate(coefficients) if c]
                parts.append(sum(terms[1:], terms[0]))
            g = np.stack(parts, axis)
        return g.reshape(*weights.shape[:2], -1).astype(weights.dtype)


def place_forward(f: Filter, start: int, count: int, x_step: int, tap_step: int, out_step: int) -> Array:
    """Return the table (tile, inputs and outputs) of an axis: offsets of a tile's inputs, then of its outputs.

    Outputs o and o + d of the whole volume make a tile where floor(o / d) is even, d being the taps' dilation. Inputs
    that only outputs beyond the box need are replaced by others of the box's window; an output beyond it has offset -1.

    Parameters
    ----------
    f : Filter
        With two outputs.
    start, count : int
        First output of the box in the whole volume, and how many.
    x_step, tap_step, out_step : int
        Elements from what an output reads to what its neighbour reads, from one tap to the next, from one output to
        the next.
    """
    step = tap_step if len(f.weights[0]) > 1 else x_step  # one tap has no neighbour
    apart = max(1, step * f.stride // x_step)  # neighbouring tiles interleave where taps lie further apart
    outputs = np.arange(start, start + count)
    numbers = np.unique(outputs // (2 * apart) * apart + outputs % apart)
    first = numbers // apart * 2 * apart + numbers % apart - start
    last = (count - 1) * x_step + (len(f.weights[0]) - 1) * step
    inputs = np.clip(first[:, None] * x_step + np.arange(f.inputs) * step, 0, last)
    pairs = first[:, None] + np.array([0, apart])
    return np.hstack([inputs, np.where((pairs >= 0) & (pairs < count), pairs * out_step, -1)])


def place_transposed(f: Filter, start: int, count: int, reads: tuple[int, int], x_step: int, out_step: int) -> Array:
    """Return the table of an axis as `place_forward`, of a transposed filter.

    A tile is the outputs of two places of the input, the first of them even.

    Parameters
    ----------
    f : Filter
        A transposed one.
    start, count : int
        First output of the box, counted from the first output of input 0, and how many.
    reads : 2 ints
        First input that the box needs, to which offsets are counted, and the one behind the last.
    x_step, out_step : int
        Elements between neighbours.
    """
    numbers = np.unique(np.arange(start, start + count) // f.outputs)
    inputs = np.clip(2 * numbers[:, None] + f.lead + np.arange(f.inputs), reads[0], max(reads[0], reads[1] - 1))
    outputs = numbers[:, None] * f.outputs + np.arange(f.outputs) - start
    inside = (outputs >= 0) & (outputs < count)
    return np.hstack([(inputs - reads[0]) * x_step, np.where(inside, outputs * out_step, -1)])


def _outputs_somewhere(table: Array, inputs: int, out_step: int, step: int) -> Array:
    """Return the outputs of a table in elements `step` apart; for outputs beyond the box those of others in it."""
    outputs = table[:, inputs:]
    outputs = np.where(outputs < 0, outputs.max(1, keepdims=True), outputs)
    return outputs // out_step * step


class BoundMinimal(BoundConv):
    """A dense layer in tiles of two outputs an axis, of a transposed one in tiles of the outputs of two places."""

    def __init__(
        self, kernel: ConvKernel, shape: ConvShape, weights: Array, bias: Array | None, epilogue: Epilogue
    ) -> None:
        self._filters = [FILTERS[name] for name in shape.filters]
        super().__init__(kernel, shape, weights, bias, epilogue)
        # an output that comes out infinite or NaN is summed again directly: infinities may have cancelled on the way
        taps = weights.astype(shape.dtype).transpose(2, 1, 0).reshape(-1, shape.out_channels)
        self._direct = pack_vectors(taps, kernel.lanes)
        self._strip = winograd_strip(kernel, shape)
        self._lists = self._list_filters()

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights and epilogue."""
        return super().nbytes + int(self._direct.nbytes)

    def scratch_elements(self, threads: int) -> int:
        """Return the elements of working memory that a run needs: a strip of tiles a thread."""
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
        sizes = [len(f.weights[0]) for f in self._filters]
        places = np.asarray(taps, np.int64).reshape(sizes)
        tables = [
            place_forward(
                f, origin[axis], box[axis], x_steps[1 + axis],
                int(np.take(places, 1, axis).flat[0] - places.flat[0]) if sizes[axis] > 1 else 0, out_steps[1 + axis],
            )
            for axis, f in enumerate(self._filters)
        ]  # fmt: skip
        self._run_tiles(tables, x, x_start + int(places.flat[0]), out, out_start, out_steps, scratch, residual)

    def run_transposed(
        self,
        x: Array,
        x_start: int,
        x_steps: Sequence[int],
        reads: Sequence[tuple[int, int]],
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        box: Sequence[int],
        origin: Sequence[int],
        scratch: Array | None = None,
        residual: Residual | None = None,
    ) -> None:
        """Compute a box of outputs of a transposed layer, whose taps `weights` holds in rising order.

        Parameters
        ----------
        x, out : flat arrays of the shape's dtype
            4096 elements behind the last one addressed in `x` must be readable.
        x_start, out_start : int
            Element of channel 0 of the first input the box needs, and of its first output.
        x_steps, out_steps : 4 ints
            Elements from one channel (1), z, y, x to the next.
        reads : three pairs of ints
            First input the box needs along z, y, x, and the one behind the last.
        box : 3 ints
            Outputs along z, y, x.
        origin : 3 ints
            First output, counted from where tap 0 of input 0 adds to.
        scratch, residual
            As for `run`.
        """
        if min(box) <= 0:
            return
        tables = [
            place_transposed(f, origin[axis], box[axis], reads[axis], x_steps[1 + axis], out_steps[1 + axis])
            for axis, f in enumerate(self._filters)
        ]
        self._run_tiles(tables, x, x_start, out, out_start, out_steps, scratch, residual)

    def _run_tiles(
        self,
        tables: list[Array],
        x: Array,
        x_start: int,
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        scratch: Array | None,
        residual: Residual | None,
    ) -> None:
        """Compute the tiles of three axes' tables."""
        threads, scratch = share_scratch(self, scratch)
        plan = np.zeros(at.LENGTH, np.int64)
        plan[at.X_START], plan[at.OUT_START] = x_start, out_start
        other = record_residual(plan, residual, self._epilogue, self._table)
        self._cut_jobs(plan, threads)
        plan[at.TILES_Z : at.TILES_X + 1] = [len(table) for table in tables]
        plan[at.TILES] = np.prod([len(table) for table in tables])
        plan[at.JOBS] = -(-plan[at.TILES] // plan[at.STRIP])
        lists, start = [table.ravel() for table in tables], sum(table.size for table in tables)
        plan[at.RESIDUAL_TABLES] = start
        if residual is not None:
            for axis, f in enumerate(self._filters):
                places = _outputs_somewhere(
                    tables[axis], f.inputs, out_steps[1 + axis], residual.steps[1 + axis]
                ).ravel()
                lists.append(places)
                start += places.size
        for name, part in zip((at.DEPTHS_START, at.TERMS_STARTS, at.TERMS, at.DIRECT), self._lists, strict=True):
            plan[name] = start
            lists.append(part)
            start += part.size
        offsets = np.concatenate(lists)
        self._run(x, self._weights, self._direct, self._table, out, other, offsets, scratch, plan)

    def _pack_weights(self, weights: Array) -> Array:
        """Return the transformed weights: (output block, weight, input channel, width)."""
        rows = transform_taps(weights, self._filters).transpose(2, 1, 0).reshape(-1, self.shape.out_channels)
        return pack_vectors(rows, self._width)

    def _pack_table(self, rows: Array) -> Array:
        """Return the epilogue's table (row, channel) by vectors: (output vector, row, lane)."""
        return pack_vectors(rows.astype(self.shape.dtype), self.kernel.lanes)

    @property
    def _values_step(self) -> int:
        """Elements from one value to the next: an odd number of vectors, so that points fall into all cache sets."""
        return (-(-self.shape.in_channels // self.kernel.lanes) * self._strip + 1) * self.kernel.lanes

    def _cut_jobs(self, plan: Array, threads: int) -> None:
        """Write the layer's constants into `plan`: a job is a strip of tiles."""
        shape, kernel = self.shape, self.kernel
        d, h, w = self._filters
        plan[at.GROUP_INPUTS], plan[at.CHUNKS] = shape.in_channels, -(-shape.in_channels // kernel.lanes)
        plan[at.BLOCKS] = -(-shape.out_channels // self._width)
        plan[at.OUT_VECTORS] = -(-shape.out_channels // kernel.lanes)
        plan[at.STRIP], plan[at.THREADS] = self._strip, threads
        plan[at.AFFINE], plan[at.MODE], plan[at.ACTIVATE] = self._affine, self._mode, self._activate
        plan[at.VALUES_STEP], plan[at.PRODUCTS_STEP] = (
            self._values_step, (kernel.width * self._strip + 1) * kernel.lanes
        )  # fmt: skip
        plan[at.VALUES_PLANE] = len(h.values) * len(w.values) * self._values_step
        plan[at.WEIGHTS_PLANE] = len(h.weights) * len(w.weights) * shape.in_channels * self._width
        plan[at.WEIGHTS_STEP] = len(d.weights) * plan[at.WEIGHTS_PLANE]
        plan[at.DIRECT_STEP] = np.prod([len(f.weights[0]) for f in self._filters]) * shape.in_channels * kernel.lanes
        plan[at.INPUTS_Z : at.INPUTS_X + 1] = [f.inputs for f in self._filters]
        plan[at.WIDTH_Z : at.WIDTH_X + 1] = [f.inputs + f.outputs for f in self._filters]
        plan[at.DEPTHS], plan[at.PLANES] = d.points, d.planes
        plan[at.POINTS] = h.points * w.points
        plan[at.TAPS_Y], plan[at.TAPS_X] = len(h.weights[0]), len(w.weights[0])
        plan[at.SLOT] = winograd_scratch(kernel, shape)

    def _list_filters(self) -> tuple[Array, Array, Array, Array]:
        """Return the records of points along z, where each point's terms along h and w begin, these, and the taps."""
        d, h, w = self._filters
        starts, terms = [0], []
        for row, column in product(range(h.points), range(w.points)):
            for (value_h, weight_h, _), (value_w, weight_w, _) in product(_of_point(h, row), _of_point(w, column)):
                value = (value_h * len(w.values) + value_w) * self._values_step
                weight = (weight_h * len(w.weights) + weight_w) * self.shape.in_channels * self._width
                terms += [value, weight]
            starts.append(len(terms) // 2)
        direct = [_list_taps(f, output) for f in self._filters for output in range(f.outputs)]
        return tuple(np.array(part, np.int64).ravel() for part in (_list_depths(d), starts, terms, direct))  # type: ignore[return-value]


def _of_point(f: Filter, point: int) -> list[tuple[int, int, int]]:
    return [part for part in f.products if part[2] == point]


def _list_depths(f: Filter) -> list[list[int]]:
    """Return the record of each point along z."""
    kept: dict[int, int] = {}  # which value lies in each place for one
    records = []
    for point in range(f.points):
        parts = _of_point(f, point)
        record = [len(parts)]
        for n in range(MOST_VALUES):
            if n >= len(parts):
                record += [0] * VALUE_LENGTH
                continue
            value, weight, _ = parts[n]
            (near, _), (far, sign) = (*f.values[value], (0, 0))[:2]
            record += [int(kept.get(n) != value), near, far, sign, weight]
            kept[n] = value
        adds = [(output, dict(terms)[point], terms) for output, terms in enumerate(f.sums) if point in dict(terms)]
        for n in range(MOST_OUTPUTS):
            if n >= len(adds):
                record += [-1] * OUTPUT_LENGTH
            else:
                output, sign, terms = adds[n]
                record += [output, sign, int(terms[0][0] == point), int(terms[-1][0] == point)]
        records.append(record)
    return records


def _list_taps(f: Filter, output: int) -> list[int]:
    """Return the record of an output's direct sum along an axis."""
    taps = f.taps[output]
    padding = [(0, 0)] * (MOST_TAPS - len(taps))
    return [len(taps), *(number for pair in (*taps, *padding) for number in pair)]

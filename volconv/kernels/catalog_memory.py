"""What kernels keep in memory: packed weights and a call's working memory. Knows nothing of numba."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from .catalog import ConvKernel, ConvShape
from .catalog_filters import FILTERS
from .sweep_pieces import sweep_elements

_RING_BYTES = 512 * 2**10  # transformed rows a thread keeps: with inputs and outputs they stay in the L2 cache
_STRIP_BYTES = 256 * 2**10  # a strip's working memory: with weights it fits an L2 cache that two threads share


def winograd_strip(kernel: ConvKernel, shape: ConvShape) -> int:
    """Return how many tiles a thread has at work: whole register blocks, one at least."""
    most = _STRIP_BYTES // (_strip_vectors(kernel, shape, kernel.block) * kernel.lanes * shape.itemsize)
    return kernel.block * max(1, min(48 // kernel.block, most))


def winograd_scratch(kernel: ConvKernel, shape: ConvShape) -> int:
    """Return the elements of working memory a thread needs."""
    return (_strip_vectors(kernel, shape, winograd_strip(kernel, shape)) + _odd_vectors(kernel, shape)) * kernel.lanes


def _odd_vectors(kernel: ConvKernel, shape: ConvShape) -> int:
    """Return the vectors between points: a power of two from one to the next would map all to a few cache sets."""
    if kernel.name == "winograd":
        return 32
    d, h, w = (FILTERS[name] for name in shape.filters)
    return d.planes * len(h.values) * len(w.values) + h.points * w.points


def _strip_vectors(kernel: ConvKernel, shape: ConvShape, tiles: int) -> int:
    """Return the vectors of a strip: of each tile a plane's transformed inputs and products, and its sums of outputs.

    These are 16, 16 and 8; with other filters there are values of as many planes as a point along d takes.
    """
    inputs, outputs = (-(-channels // kernel.lanes) for channels in (shape.in_channels, shape.out_channels))
    if kernel.name == "winograd":
        return (16 * (inputs + kernel.width) + 8 * outputs) * tiles
    d, h, w = (FILTERS[name] for name in shape.filters)
    values = d.planes * len(h.values) * len(w.values)
    sums = d.outputs * h.outputs * w.outputs
    return (values * inputs + h.points * w.points * kernel.width + sums * outputs) * tiles


@dataclass(frozen=True)
class PairsScratch:
    """A thread's working memory for paired rows.

    Attributes
    ----------
    taps_h : int
        Taps along h.
    rows : int
        Transformed input rows kept: as many as taps along h span.
    vectors : int
        Vectors of voxels along w a job computes at most.
    length, segment : int
        Elements of a row of one channel of transformed inputs, and of products.
    elements : int
        All of it.
    """

    taps_h: int
    rows: int
    vectors: int
    length: int
    segment: int
    elements: int


def pairs_scratch(kernel: ConvKernel, shape: ConvShape) -> PairsScratch:
    """Return how `kernel` cuts rows, so that what it keeps stays in the L2 cache."""
    rows = shape.reach[0] + 1
    halo = -(-(shape.reach[1] + kernel.lanes - 1) // kernel.lanes)  # rows begin up to a vector before their first tap
    vector_bytes = 4 * rows * shape.in_channels * kernel.lanes * shape.itemsize
    vectors = max(kernel.block, min(16, _RING_BYTES // vector_bytes - halo))
    stored = vectors + kernel.block  # the last block may reach beyond
    length = (stored + halo) | 1  # odd: rows a power of two apart would share a few cache sets
    outputs = -(-shape.out_channels // kernel.width) * kernel.width
    elements = 4 * (rows * shape.in_channels * length + outputs * stored) * kernel.lanes
    return PairsScratch(shape.taps_h, rows, vectors, length * kernel.lanes, stored * kernel.lanes, elements)


def scratch_bytes(kernel: ConvKernel, shape: ConvShape, threads: int) -> int:
    """Return the bytes of working memory that a call of `kernel` needs."""
    if kernel.name == "pairs":
        return threads * pairs_scratch(kernel, shape).elements * shape.itemsize
    if kernel.name == "sweep":
        return threads * sweep_elements(kernel, shape) * shape.itemsize
    tiles = kernel.name in ("winograd", "minimal")
    return threads * winograd_scratch(kernel, shape) * shape.itemsize if tiles else 0


def packed_bytes(kernel: ConvKernel, shape: ConvShape) -> int:
    """Return the bytes a bound kernel keeps, or those of all phases: weights in its order, bias and epilogue."""
    kinds = shape.kinds or ((shape.taps, 1),) * shape.phases
    if kernel.name == "phases":  # phases that read the same inputs share blocks
        vectors = -(-shape.group_outputs // kernel.lanes)
        values = 0
        for taps, phases in kinds:
            columns = -(-phases * vectors // kernel.width) * kernel.width
            values += shape.groups * columns * kernel.lanes * (shape.group_inputs * taps + 5)
    elif kernel.name == "minimal":  # all phases of a transposed one at once
        values = _packed_values(kernel, shape, shape.taps)
    else:
        values = sum(phases * _packed_values(kernel, shape, taps) for taps, phases in kinds)
    return values * shape.itemsize


def _packed_values(kernel: ConvKernel, shape: ConvShape, taps: int) -> int:
    """Return the values a bound kernel of `taps` taps keeps; the epilogue has 5 an output channel."""
    if kernel.name in ("winograd", "minimal"):  # transformed, and as they are
        filters = [FILTERS[name] for name in shape.filters or ("three",) * 3]
        weights, each = prod(len(f.weights) for f in filters), prod(len(f.weights[0]) for f in filters)
        vectors = -(-shape.out_channels // kernel.lanes)
        width = -(-vectors // kernel.width) * kernel.width * kernel.lanes
        return shape.in_channels * (weights * width + each * vectors * kernel.lanes) + 5 * vectors * kernel.lanes
    products = shape.group_inputs * taps
    if kernel.name == "pairs":
        width = -(-shape.out_channels // kernel.width) * kernel.width
        return products * 4 * width // 3 + (products + 5) * shape.out_channels
    if kernel.name == "rows":  # the weights, and those of two rows that share what they load, in that order
        return shape.out_channels * (products + 2 * (products + 5))
    if kernel.name == "sweep":
        return shape.out_channels * (taps + 5)
    if kernel.name == "depthwise":
        width = kernel.width * kernel.lanes
        return -(-shape.out_channels // width) * width * (taps + 5)
    width = kernel.width * (kernel.lanes if kernel.name == "last" else 1)
    return shape.groups * -(-shape.group_outputs // width) * width * (products + 5)


LAYER_NORM_ROW = 128
"""Voxels a task normalises at a time: with 32 channels they stay in the first-level cache between passes."""
LAYER_NORM_TASKS = 4
"""Tasks a thread, so that threads even out."""


def layer_norm_elements(threads: int) -> int:
    """Return the elements of working memory of a layer norm: a mean and a scale for every voxel of all tasks."""
    return LAYER_NORM_TASKS * threads * 2 * LAYER_NORM_ROW


SUM_SEGMENT = 2048
"""Values added up in 64 bits before an exact sum takes them: they stay in the first-level cache meanwhile."""


@dataclass(frozen=True)
class SumFormat:
    """How an element type lies in memory, and the words that exact sums of 2^39 values and of their squares take."""

    fraction_bits: int
    exponent_mask: int
    words: int
    square_words: int

    @property
    def unit(self) -> int:
        """Minus the power of two of the smallest number."""
        return self.exponent_mask // 2 - 1 + self.fraction_bits

    @property
    def entries(self) -> int:
        """Words of a channel: of both sums, and the counts of +inf, -inf and NaN."""
        return self.words + self.square_words + 3


SUM_FORMATS = {"float32": SumFormat(23, 255, 12, 22), "float64": SumFormat(52, 2047, 70, 138)}


def sum_bytes(dtype: str, channels: int, threads: int) -> int:
    """Return the bytes that exact sums of `channels` channels take."""
    return threads * (channels * SUM_FORMATS[dtype].entries * 8 + SUM_SEGMENT * (4 if dtype == "float32" else 8))


def state_length(dtype: str) -> int:
    """Return the numbers of 64 bits a channel that tell what was gathered of some voxels: sums, count, maximum."""
    return SUM_FORMATS[dtype].entries + 2

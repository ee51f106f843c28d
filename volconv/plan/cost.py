"""What a way of cutting costs: halo work, memory, time. Works on sums over an axis, since axes are independent."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

from ..geometry import Triple
from ..graph.model import Graph, Node
from ..kernels.catalog import ConvKernel, conv_seconds
from ..kernels.catalog_memory import layer_norm_elements, packed_bytes, scratch_bytes
from ..kernels.catalog_resample import resample_bytes
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d
from ..ops.layer_norm import LayerNorm
from ..ops.pool import Pool
from ..ops.resample import Resample
from .buffers import Layouts, conv_shape
from .memory import Places, place_buffers
from .model import Window, share_interval
from .regions import pull_back

BASELINE_BYTES = 160 * 2**20
"""Resident size before the first tile: Python, NumPy, Numba with kernels loaded (at most 147 MiB on Linux)."""
HDF5_BYTES = 15 * 2**20
"""What h5py adds (11 to 13 MiB)."""
RECORD_BYTES = 4 * 2**20
"""What keeping finished tiles adds: a piece copied by the engine's thread, one by the writing thread, and lists."""
START_SECONDS = 0.5
_COPY_RATE = 5e9
_CHUNK_RATE = 6e8
_TOUCH_RATE = 2.5e9
_ROW_SECONDS = 2e-6
_STEP_SECONDS = 6e-5
_TAPS_A_COPY = 4
"""Taps of a window that are taken in the time of a copy."""

ShapeBytes = Callable[[Triple], int]


@dataclass(frozen=True)
class Traffic:
    """What reading and writing take beside the arena.

    Attributes
    ----------
    resident_bytes : int
        Held for the whole run (a decompressed input).
    read_bytes, write_bytes : callable
        Window shape to the memory one call takes; `write_bytes` by output name.
    scratch_bytes : int
        In the scratch folder.
    chunks : tuple of int or None
        D, H, W of the blocks the input is read in, each whole.
    fast_axis : int
        The axis of neighbouring voxels in the input's file: 2 (W), or 0 (D).
    seconds : float
        Of compressing and decompressing whole files.
    after_bytes : int
        What work on the results takes after the last tile, when the arena and the weights are gone.
    """

    resident_bytes: int = 0
    read_bytes: ShapeBytes = lambda shape: 0  # noqa: ARG005
    write_bytes: Mapping[str, ShapeBytes] = field(default_factory=dict)
    scratch_bytes: int = 0
    baseline_bytes: int = BASELINE_BYTES
    chunks: Triple | None = None
    fast_axis: int = 2
    seconds: float = 0.0
    after_bytes: int = 0


@dataclass(frozen=True)
class AxisCut:
    """One axis cut at `edges`: the windows of each cell; per buffer the longest box and the sum of inner lengths."""

    edges: tuple[int, ...]
    windows: tuple[Mapping[str, Window], ...]
    longest: Mapping[str, int]
    longest_inner: Mapping[str, int]
    total: Mapping[str, int]

    def read_lengths(self, chunk: int) -> int:
        """Return the voxels read over all cells when the input comes in whole chunks of that length."""
        parts = [w["input"].inner for w in self.windows]
        return sum(-(-b // chunk) * chunk - a // chunk * chunk for a, b in parts if b > a)


def cut_axis(graph: Graph, layouts: Layouts, axis: int, edges: tuple[int, ...]) -> AxisCut:
    """Return the cut of `axis` at `edges` (tile borders on the first output)."""
    first = graph.wire(graph.anchor).shape[axis]
    windows = []
    for a, b in itertools.pairwise(edges):
        writes = {name: share_interval((a, b), first, graph.wire(name).shape[axis]) for name in graph.results}
        windows.append(pull_back(graph, layouts, axis, writes))
    names = layouts.buffers
    return AxisCut(
        edges,
        tuple(windows),
        {n: max(w[n].box[1] - w[n].box[0] for w in windows) for n in names},
        {n: max(w[n].inner[1] - w[n].inner[0] for w in windows) for n in names},
        {n: sum(w[n].inner[1] - w[n].inner[0] for w in windows) for n in names},
    )


@dataclass(frozen=True)
class Cost:
    """Bytes and seconds of one way of cutting."""

    places: Places
    arena_bytes: int
    peak_bytes: int
    seconds: float
    macs: int


def price(
    graph: Graph,
    layouts: Layouts,
    kernels: Mapping[str, ConvKernel],
    cuts: tuple[AxisCut, AxisCut, AxisCut],
    traffic: Traffic,
    threads: int,
    overlap: bool = False,
) -> Cost:
    """Return what running `graph` in the tiles of `cuts` costs; `overlap` as for `place_buffers`."""
    itemsize = 8 if graph.input.dtype == "float64" else 4
    shapes = {name: _shape(cuts, name) for name in layouts.buffers}
    places = place_buffers(layouts, shapes, overlap)
    arena = places.elements * itemsize
    tiles = prod(len(cut.windows) for cut in cuts)
    voxels = {name: prod(cut.total[name] for cut in cuts) for name in layouts.buffers}
    seconds = START_SECONDS + traffic.seconds + tiles * len(layouts.steps) * _STEP_SECONDS + arena / _TOUCH_RATE
    macs = 0
    for node in graph.nodes:
        macs += node.macs(voxels[node.name])
        seconds += stage_seconds(graph, node, voxels[node.name], threads)
    scratch = max((working_bytes(node, kernels.get(node.name), threads) for node in graph.nodes), default=0)
    packed = weight_bytes(graph, kernels)
    for name, buffer in layouts.buffers.items():
        if buffer.source is not None or buffer.wire == "input":
            seconds += voxels[name] * buffer.channels * itemsize / _COPY_RATE
    for name, home in layouts.keeps.items():  # copied, and read for their statistics
        seconds += 2 * prod(graph.wire(name).shape) * layouts.buffers[home].channels * itemsize / _COPY_RATE
    seconds += _reading_seconds(cuts, traffic, graph.input.channels, itemsize)
    return Cost(places, arena, _peak(graph, layouts, cuts, traffic, arena + packed + scratch), seconds, macs)


def working_bytes(node: Node, kernel: ConvKernel | None, threads: int) -> int:
    """Return what a call of the kernel of `node` works in; kernels run one after the other."""
    itemsize = 8 if node.wire.dtype == "float64" else 4
    if isinstance(node.op, Conv3d | ConvTranspose3d):
        assert kernel is not None
        return scratch_bytes(kernel, conv_shape(node.op, node.wire.dtype, node.algorithm), threads)
    if isinstance(node.op, LayerNorm):
        return layer_norm_elements(threads) * itemsize
    if isinstance(node.op, Resample) and node.op.rule == "linear":
        return resample_bytes(node.wire.channels, itemsize, threads)
    return 0


def weight_bytes(graph: Graph, kernels: Mapping[str, ConvKernel]) -> int:
    """Return what the weights of all convolutions take: as they were read, and packed for their kernels."""
    size = 0
    for node in graph.nodes:
        if isinstance(node.op, Conv3d | ConvTranspose3d):
            shape = conv_shape(node.op, node.wire.dtype, node.algorithm)
            size += sum(t.nbytes for t in node.tensors.values()) + packed_bytes(kernels[node.name], shape)
    return size


def stage_seconds(graph: Graph, node: Node, voxels: int, threads: int) -> float:
    """Return a rough time for `voxels` voxels of every channel of `node`, by `threads` threads."""
    itemsize = 8 if node.wire.dtype == "float64" else 4
    copy = voxels * itemsize / _COPY_RATE / threads  # of one channel: reads once and writes once
    if isinstance(node.op, Conv3d | ConvTranspose3d):
        seconds = conv_seconds(conv_shape(node.op, node.wire.dtype, node.algorithm), voxels, threads)
        return seconds if node.residual is None else seconds + node.wire.channels / 2 * copy
    return _copied_channels(graph, node) * copy


def _copied_channels(graph: Graph, node: Node) -> float:
    """Return how many channels a copy moves in the time of a stage without products, roughly."""
    channels = node.wire.channels
    if isinstance(node.op, Pool):
        return channels * max((prod(node.op.stride) + 1) / 2, prod(node.op.kernel_size) / _TAPS_A_COPY)
    if isinstance(node.op, Resample) and node.op.rule == "linear":
        return channels * 2
    return (channels + sum(graph.wire(name).channels for name in node.inputs)) / 2


def _reading_seconds(cuts: tuple[AxisCut, AxisCut, AxisCut], traffic: Traffic, channels: int, itemsize: int) -> float:
    """Return what fetching the tiles' windows takes: whole chunks, or one call a row of neighbouring voxels."""
    if traffic.chunks is not None:
        voxels = prod(cut.read_lengths(chunk) for cut, chunk in zip(cuts, traffic.chunks, strict=True))
        return voxels * channels * itemsize / _CHUNK_RATE
    rows = len(cuts[traffic.fast_axis].windows)
    rows *= prod(cut.total["input"] for axis, cut in enumerate(cuts) if axis != traffic.fast_axis)
    return rows * channels * _ROW_SECONDS


def _shape(cuts: tuple[AxisCut, AxisCut, AxisCut], name: str) -> Triple:
    return (cuts[0].longest[name], cuts[1].longest[name], cuts[2].longest[name])


def _peak(
    graph: Graph, layouts: Layouts, cuts: tuple[AxisCut, AxisCut, AxisCut], traffic: Traffic, own_bytes: int
) -> int:
    """Return the resident peak: baseline, arena and weights, input held, reading and writing."""

    def largest(name: str) -> Triple:
        return (cuts[0].longest_inner[name], cuts[1].longest_inner[name], cuts[2].longest_inner[name])

    window = traffic.read_bytes(largest("input"))
    write = sum(traffic.write_bytes[n](largest(layouts.exports[n])) for n in graph.outputs if n in traffic.write_bytes)
    held = traffic.baseline_bytes + traffic.resident_bytes
    return held + max(own_bytes + window + write, traffic.after_bytes)

"""Which buffers a graph needs and what is done in which order: the same for every tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from math import prod

from ..graph.model import INPUT, Graph, Node
from ..graph.passes.algorithms import filters_of
from ..kernels.catalog import Algorithm, ConvKernel, ConvShape, Layout, choose_conv
from ..numeric import compute_dtype
from ..ops.add import Add
from ..ops.base import Wire
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d
from .model import Buffer, Step

_WRITE_FIRST = ("vector_norm", "argmax", "pixel_shuffle")
"""Kernels that write channels first whatever they read: those that make one channel of many, which has no padding so,
and the one that spreads channels along rows."""
Form = tuple[Layout, int]
"""How a wire lies in memory: its layout, and the channels stored."""


@dataclass
class Layouts:
    """Buffers, steps, and from which buffer each consumer reads; `keeps` names that of each wire later phases need."""

    buffers: dict[str, Buffer] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    reads: dict[tuple[str, int], str] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    keeps: dict[str, str] = field(default_factory=dict)


def conv_shape(op: Conv3d | ConvTranspose3d, dtype: str, algorithm: Algorithm = "direct") -> ConvShape:
    """Return what the choice of `op`'s kernel depends on."""
    taps, phases = 1, 1
    for k, s in zip(op.kernel_size, op.stride, strict=True):
        taps *= -(-k // s) if isinstance(op, ConvTranspose3d) else k
        phases *= s if isinstance(op, ConvTranspose3d) else 1
    if algorithm == "factored":
        taps = sum(op.kernel_size)
    step_w = op.stride[2] if isinstance(op, Conv3d) else 1
    kind = compute_dtype(dtype)
    reach = tuple(op.dilation[axis] * (op.kernel_size[axis] - 1) for axis in (1, 2))
    lengths = op.kernel_size if algorithm == "factored" else (1, 1, 1)
    filters = filters_of(op) if algorithm == "winograd" else ()
    return ConvShape(
        op.in_channels, op.out_channels, op.groups, taps, kind, step_w, algorithm,  # type: ignore[arg-type]
        op.kernel_size[1], reach, phases, lengths, _phase_kinds(op), filters,  # type: ignore[arg-type]
    )  # fmt: skip


@cache
def _phase_kinds(op: Conv3d | ConvTranspose3d) -> tuple[tuple[int, int], ...]:
    """Return taps and number of each set of phases of a transposed convolution that read the same inputs."""
    if isinstance(op, Conv3d):
        return ()
    axes = [
        Counter(tuple((q - t * d) // s for t in range(k) if (t * d - q) % s == 0) for q in range(s))
        for k, s, d in zip(op.kernel_size, op.stride, op.dilation, strict=True)
    ]
    kinds = Counter[tuple[tuple[int, ...], ...]]()
    for z, y, x in product(*(axis.items() for axis in axes)):
        reads = (z[0], y[0], x[0])
        kinds[reads if all(reads) else ()] += z[1] * y[1] * x[1]
    return tuple((prod(map(len, reads)) if reads else 0, phases) for reads, phases in kinds.items())


def choose_kernels(graph: Graph, bits: int | None = None) -> dict[str, ConvKernel]:
    """Return the kernel of every convolution, for this processor's vectors or those of `bits`."""
    kernels: dict[str, ConvKernel] = {}
    reads: dict[str, str] = {}  # the layout in which a node takes its inputs, where there is only one
    for node in reversed(graph.nodes):
        readers = graph.consumers(node.name)
        taken = bool(readers) and all(_takes_last(reader, node.name, reads, kernels) for reader in readers)
        last = taken and node.name not in graph.outputs
        if isinstance(node.op, Conv3d | ConvTranspose3d):
            wanted: Layout | None = "last" if last else None
            kernels[node.name] = choose_conv(conv_shape(node.op, node.wire.dtype, node.algorithm), bits, wanted)
            reads[node.name] = kernels[node.name].reads
        elif last and node.op.kernel == "concat":
            reads[node.name] = "last"  # what is joined is copied fastest in the layout it is joined in
    return {node.name: kernels[node.name] for node in graph.nodes if node.name in kernels}


def _takes_last(reader: Node, name: str, reads: Mapping[str, str], kernels: Mapping[str, ConvKernel]) -> bool:
    """Return whether `reader` takes the result `name` channels last: a sum does if another summand is made so."""
    if reader.name in reads:
        return reads[reader.name] == "last"
    others = [kernels[other] for other in reader.inputs if other in kernels and other != name]
    return isinstance(reader.op, Add) and any(kernel.writes == "last" for kernel in others)


def reads_outside(node: Node, index: int, wire: Wire) -> bool:
    """Return whether `node` ever reads voxels outside the domain of `wire`, its input number `index`."""
    for axis in range(3):
        a, b = node.read_interval(index, axis, (0, node.wire.shape[axis]))
        if a < 0 or b > wire.shape[axis]:
            return True
    return False


def lay_out(graph: Graph, kernels: Mapping[str, ConvKernel], given: Mapping[str, Form] | None = None) -> Layouts:
    """Return buffers and steps for `graph`, whose stored wires lie as `given` says.

    A wire is kept once, in the layout its producer writes, with room for the borders of its readers; a reader that
    wants another layout or another kind of border gets a copy of its own. Stages that take any layout write that of
    their first input and read all inputs in it.
    """
    out = Layouts()
    written = written_layouts(graph, kernels, given or {})
    for name in (*graph.sources, *(node.name for node in graph.nodes)):
        _place(graph, name, written, out, kernels)
    return out


def written_layouts(graph: Graph, kernels: Mapping[str, ConvKernel], given: Mapping[str, Form]) -> dict[str, Form]:
    """Return the layout of each wire as its producer writes it, and the channels stored."""
    out: dict[str, Form] = {INPUT: ("first", graph.input.channels), **given}
    for node in graph.nodes:
        channels = node.wire.channels
        if node.name in kernels:
            kernel = kernels[node.name]
            stored = -(-channels // kernel.channel_multiple) * kernel.channel_multiple
            out[node.name] = ("last", stored) if kernel.writes == "last" else ("first", channels)
        else:
            layout, stored = out[_leading(graph, node)]
            if node.op.kernel in _WRITE_FIRST:
                layout = "first"
            elif node.op.kernel == "concat":
                layout = _joined_layout(graph, node, kernels, layout)
            if channels != graph.wire(_leading(graph, node)).channels:
                stored = _rounded(channels, kernels)
            out[node.name] = (layout, channels if layout == "first" else stored)
    return out


def _leading(graph: Graph, node: Node) -> str:
    """Return which input's layout `node` writes: the first of the largest, for those spread over it are moved least."""
    sizes = {name: prod(graph.wire(name).shape) * graph.wire(name).channels for name in node.inputs}
    return max(node.inputs, key=sizes.__getitem__)


def _joined_layout(graph: Graph, node: Node, kernels: Mapping[str, ConvKernel], layout: Layout) -> Layout:
    """Return the layout in which all who read joined channels want them, `layout` where they differ or take any."""
    wanted = {kernels[reader.name].reads for reader in graph.consumers(node.name) if reader.name in kernels}
    return "last" if wanted == {"last"} else "first" if wanted == {"first"} else layout


def _rounded(channels: int, kernels: Mapping[str, ConvKernel]) -> int:
    """Return how many channels are stored where they lie side by side: voxels that begin at a vector load faster."""
    multiple = max((kernel.channel_multiple for kernel in kernels.values()), default=1)
    return -(-channels // multiple) * multiple


def _looks_up(node: Node, kernel: ConvKernel | None) -> bool:
    """Return whether `node` finds what stands outside a domain by itself, so that it need not be stored."""
    return node.op.kernel == "pad" or (kernel is not None and kernel.name == "sweep")


def _place(
    graph: Graph,
    wire: str,
    written: Mapping[str, Form],
    out: Layouts,
    kernels: Mapping[str, ConvKernel],
) -> None:
    """Add the buffers of `wire`, the step that fills each, and what each consumer reads."""
    layout, channels = written[wire]
    wanted: list[tuple[tuple[str, int], Layout, str | None]] = []
    stored: set[tuple[Layout, str]] = set()  # layouts and kinds of border that readers want made
    looked_up: set[tuple[Layout, str]] = set()  # those that need not be
    for node in graph.consumers(wire):
        kernel = kernels.get(node.name)
        for i in (i for i, name in enumerate(node.inputs) if name == wire):
            needs: Layout = layout
            if kernel is not None and i != node.residual:
                needs = layout if kernel.reads == "any" else kernel.reads
            elif len(node.inputs) > 1 and node.op.kernel != "concat" and graph.wire(wire).shape == node.wire.shape:
                needs = written[node.name][0]  # rows of all inputs in step; copies and single values take any
            mode = node.op.padding_mode if reads_outside(node, i, graph.wire(wire)) else None
            wanted.append(((node.name, i), needs, mode))
            if mode is not None:
                (looked_up if _looks_up(node, kernel) else stored).add((needs, mode))
    looked_up -= stored
    home_mode = next((mode for _, needs, mode in wanted if needs == layout and mode), None)
    home = Buffer(wire, wire, layout, channels, home_mode, filled=(layout, str(home_mode)) not in looked_up)
    out.buffers[home.name] = home
    if wire in graph.sources:
        out.steps.append(Step("read", wire, (), "" if wire == INPUT else wire))
    else:
        sources = tuple(out.reads[(wire, i)] for i in range(len(graph.node(wire).inputs)))
        out.steps.append(Step("node", wire, sources, wire))
    for reader, needs, mode in wanted:
        target = home
        if needs != layout or mode not in (None, home_mode):
            target = _copy(graph, home, needs, mode, out, kernels, filled=(needs, str(mode)) not in looked_up)
        out.reads[reader] = target.name
    if wire in graph.outputs:
        export = home if layout == "first" else _copy(graph, home, "first", None, out, kernels)
        out.exports[wire] = export.name
        out.steps.append(Step("write", "", (export.name,), wire))
    if wire in graph.kept:
        out.keeps[wire] = home.name
        out.steps.append(Step("keep", "", (home.name,), wire))


def _copy(
    graph: Graph,
    home: Buffer,
    layout: Layout,
    mode: str | None,
    out: Layouts,
    kernels: Mapping[str, ConvKernel],
    filled: bool = True,
) -> Buffer:
    name = f"{home.wire}:{layout}:{mode or 'plain'}"
    if name not in out.buffers:
        channels = graph.wire(home.wire).channels
        channels = _rounded(channels, kernels) if layout == "last" else channels
        out.buffers[name] = Buffer(name, home.wire, layout, channels, mode, home.name, filled)
        out.steps.append(Step("copy", name, (home.name,)))
    return out.buffers[name]

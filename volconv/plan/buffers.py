"""Which buffers a graph needs and what is done in which order: the same for every tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from math import prod

from ..graph.model import INPUT, Graph, Node
from ..kernels.catalog import Algorithm, ConvKernel, ConvShape, Layout, choose_conv
from ..numeric import compute_dtype
from ..ops.base import Wire, read_interval
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d
from .model import Buffer, Step


@dataclass
class Layouts:
    """Buffers, steps, and from which buffer each consumer reads."""

    buffers: dict[str, Buffer] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    reads: dict[tuple[str, int], str] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)


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
    return ConvShape(
        op.in_channels, op.out_channels, op.groups, taps, kind, step_w, algorithm,  # type: ignore[arg-type]
        op.kernel_size[1], reach, phases, lengths, _phase_kinds(op),  # type: ignore[arg-type]
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
    for node in reversed(graph.nodes):
        if isinstance(node.op, Conv3d | ConvTranspose3d):
            readers = [kernels.get(reader.name) for reader in graph.consumers(node.name)]
            last = all(kernel is not None and kernel.reads == "last" for kernel in readers)
            wanted: Layout | None = "last" if last and readers and node.name not in graph.outputs else None
            kernels[node.name] = choose_conv(conv_shape(node.op, node.wire.dtype, node.algorithm), bits, wanted)
    return {node.name: kernels[node.name] for node in graph.nodes if node.name in kernels}


def reads_outside(node: Node, index: int, wire: Wire) -> bool:
    """Return whether `node` ever reads voxels outside the domain of `wire`, its input number `index`."""
    for axis in range(3):
        a, b = read_interval(node.op, index, axis, (0, node.wire.shape[axis]))
        if a < 0 or b > wire.shape[axis]:
            return True
    return False


def lay_out(graph: Graph, kernels: Mapping[str, ConvKernel]) -> Layouts:
    """Return buffers and steps for `graph`.

    A wire is kept once, in the layout its producer writes, with room for the borders of its readers; a reader that
    wants another layout or another kind of border gets a copy of its own. Stages that take any layout write that of
    their first input and read all inputs in it.
    """
    out = Layouts()
    written = _written(graph, kernels)
    for name in (INPUT, *(node.name for node in graph.nodes)):
        _place(graph, name, written, out, kernels)
    return out


def _written(graph: Graph, kernels: Mapping[str, ConvKernel]) -> dict[str, tuple[Layout, int]]:
    """Return the layout of each wire as its producer writes it, and the channels stored."""
    out: dict[str, tuple[Layout, int]] = {INPUT: ("first", graph.input.channels)}
    for node in graph.nodes:
        channels = node.wire.channels
        if node.name in kernels:
            kernel = kernels[node.name]
            stored = -(-channels // kernel.channel_multiple) * kernel.channel_multiple
            out[node.name] = ("last", stored) if kernel.writes == "last" else ("first", channels)
        else:
            layout, stored = out[_leading(graph, node)]
            if node.op.kernel == "vector_norm":
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
    written: Mapping[str, tuple[Layout, int]],
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
            if kernel is not None:
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
    sources = () if wire == INPUT else tuple(out.reads[(wire, i)] for i in range(len(graph.node(wire).inputs)))
    out.steps.append(Step("read" if wire == INPUT else "node", wire, sources, "" if wire == INPUT else wire))
    for reader, needs, mode in wanted:
        target = home
        if needs != layout or mode not in (None, home_mode):
            target = _copy(graph, home, needs, mode, out, kernels, filled=(needs, str(mode)) not in looked_up)
        out.reads[reader] = target.name
    if wire in graph.outputs:
        export = home if layout == "first" else _copy(graph, home, "first", None, out, kernels)
        out.exports[wire] = export.name
        out.steps.append(Step("write", "", (export.name,), wire))


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

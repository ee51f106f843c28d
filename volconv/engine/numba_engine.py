"""Runs a plan's tiles with the compiled kernels: addresses in, results in the arena. The rules are the plan's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.model import INPUT, Node
from ..kernels.add import BoundAdd, add_specs, bind_add
from ..kernels.borders import border_specs
from ..kernels.conv import BoundConv, BoundPhases, BoundSweep, PhaseWeights, bind_conv, bind_phases, kernel_specs
from ..kernels.copies import copy_specs, run_copy
from ..kernels.halves import half_specs, run_round
from ..kernels.jit import KernelSpec, set_threads
from ..kernels.norm import norm_specs, run_vector_norm
from ..kernels.pointwise import bind_pointwise, pointwise_specs
from ..numeric import HALVES, compute_dtype
from ..ops.base import source_index
from ..ops.conv3d import Conv3d
from ..ops.conv_transpose3d import ConvTranspose3d
from ..plan.buffers import conv_shape
from ..plan.model import Plan, Step, Tile
from ..region import Region
from .arena import Arena, View, allot
from .base import Read, Write
from .borders import fill_borders
from .compiling import make_ready
from .ends import Ends, view_array, within
from .epilogue import make_epilogue
from .phases import Phase, list_phases, phase_outputs, phase_reads, phase_weights, place_ranges, tap_inputs

_HUGE_PAGES = 8 << 20
"""Bytes from which NumPy asks for huge pages, and gets some; pages that no kernel touches take no memory."""


class NumbaEngine:
    """The engine of ordinary runs.

    Parameters
    ----------
    threads : int
        For kernels.
    on_compile : callable, optional
        Called with the number of kernels before they are compiled, if any must be.
    jobs : int
        Processes that compile at a time.
    """

    def __init__(self, threads: int, on_compile: Callable[[int], None] | None = None, jobs: int = 1) -> None:
        self.threads = set_threads(threads)
        self._on_compile = on_compile
        self._jobs = jobs
        self._bound: dict[str, Any] = {}

    def prepare(self, plan: Plan) -> None:
        """Bind every node's weights to its kernel, compile what the cache lacks, allot the arena."""
        self.plan = plan
        self._nodes = {node.name: node for node in plan.graph.nodes}
        make_ready(needed_kernels(plan), self._on_compile, self._jobs)
        for node in plan.graph.nodes:
            self._bound[node.name] = _bind(node, plan)
        self._shapes = {buffer.name: plan.graph.wire(buffer.wire) for buffer in plan.buffers}
        self._modes = {buffer.name: buffer.mode for buffer in plan.buffers}
        self.arena = Arena(plan)
        self._scratch = _make_scratch(self._bound, self.threads, self.arena.flat.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes held since `prepare`: arena, working memory, packed weights."""
        bound = (conv for entry in self._bound.values() for conv in _convolutions(entry))
        return int(self.arena.flat.nbytes + self._scratch.nbytes + sum(conv.nbytes for conv in bound))

    def window(self, tile: Tile, slot: int) -> tuple[Region, NDArray[Any]]:
        """Return what `tile` needs of the input, and the array (C, d, h, w) that `run_tile` expects it in."""
        name = next(step.target for step in self.plan.steps if step.kind == "read")
        view = self.arena.view(name, tile.cell, slot)
        return view.inner, self.arena.array(view, view.inner)

    def run_tile(self, tile: Tile, read: Read, write: Write, slot: int = 0) -> None:
        """Compute `tile`: every step of the plan, in order."""
        views = {buffer.name: self.arena.view(buffer.name, tile.cell, slot) for buffer in self.plan.buffers}

        def store(name: str, region: Region, view: View) -> None:
            channels = self._nodes[name].wire.channels if name in self._nodes else None
            write(name, region, self.arena.array(view, region, channels))

        self._run_steps(tile, views, read, store)

    def run_between(self, tile: Tile, ends: Ends, read: Read) -> None:
        """Compute `tile` from array to array; `read` is asked only where `ends` has no input."""
        views = {buffer.name: self.arena.view(buffer.name, tile.cell) for buffer in self.plan.buffers}
        views |= ends.targets(self.plan, tile, views)
        source = ends.source()
        if source is not None and (self._takes_voxels(INPUT) or self._reads_anywhere(INPUT, source)):
            views[INPUT] = source  # nobody needs it copied

        def store(name: str, region: Region, view: View) -> None:
            result = view_array(ends.results[name])
            if view.flat is not self.arena.flat:
                return
            self._run_plain(run_copy, view, within(result, region), result.channels)

        self._run_steps(tile, views, read if source is None else source, store)

    def _run_steps(
        self, tile: Tile, views: dict[str, View], read: Read | View, store: Callable[[str, Region, View], None]
    ) -> None:
        for step in self.plan.steps:
            if step.kind == "write":
                region = tile.writes[step.node]
                if not region.is_empty:
                    store(step.node, region, views[step.sources[0]])
                continue
            target = views[step.target]
            if not target.inner.is_empty:
                self._fill(step, views, target, read)
                self._round(step, target)
            fill_borders(target.flat, target, self._modes[step.target], self._shapes[step.target].shape)

    def _takes_voxels(self, name: str) -> bool:
        """Return whether each reader of buffer `name` takes single voxels as they are: no neighbours, none rounded."""
        kernels = {
            self._nodes[step.node].op.kernel if step.kind == "node" else step.kind
            for step in self.plan.steps
            if name in step.sources
        }
        return kernels <= {"copy", "pointwise"} and self._shapes[name].dtype not in HALVES

    def _reads_anywhere(self, name: str, source: View) -> bool:
        """Return whether each reader of buffer `name` is a convolution that reads its voxels, no border, nothing else.

        Neighbours lie side by side along x or the channels, else a copy pays.
        """
        kernels, wire = self.plan.kernels, self._shapes[name]
        readers = [step.node for step in self.plan.steps if name in step.sources]
        alone = all(reader in kernels and kernels[reader].name == "last" for reader in readers)
        plain = self._modes[name] is None and wire.dtype not in HALVES
        return alone and plain and 1 in (source.steps[0], source.steps[3])

    def _round(self, step: Step, target: View) -> None:
        """Round what has just been read or computed, where it is kept in half precision; copies are rounded already."""
        dtype = self._shapes[step.target].dtype
        if dtype in HALVES and step.kind != "copy":
            region = target.inner
            start = target.at(region.start)
            run_round(dtype, target.flat, start, target.steps, region.shape, target.channels)

    def _fill(self, step: Step, views: dict[str, View], target: View, read: Read | View) -> None:
        """Fill the inner part of `target`."""
        if step.kind == "read":
            if isinstance(read, View):
                if target is not read:
                    self._run_plain(run_copy, read, target, read.channels)
                return
            read(target.inner, self.arena.array(target, target.inner))
            return
        source = views[step.sources[0]]
        if step.kind == "copy":
            self._run_plain(run_copy, source, target, min(source.channels, target.channels))
            return
        node = self._nodes[step.node]
        bound = self._bound[step.node]
        if isinstance(bound, BoundSweep):
            self._run_sweep(node, bound, source, target)
        elif isinstance(node.op, Conv3d):
            self._run_conv(node.op, bound, source, target)
        elif isinstance(node.op, ConvTranspose3d) and isinstance(bound, BoundPhases):
            self._run_phases(node.op, bound, source, target)
        elif isinstance(node.op, ConvTranspose3d):
            for phase, conv in bound:
                self._run_phase(node.op, phase, conv, source, target)
        elif node.op.kernel == "add":
            self._run_add(bound, [views[name] for name in step.sources], target)
        elif node.op.kernel == "pointwise":
            self._run_plain(bound.run, source, target, min(source.channels, target.channels))
        elif node.op.kernel == "vector_norm":
            self._run_plain(run_vector_norm, source, target, node_inputs(self.plan, node))
        else:
            self._run_plain(run_copy, source, target, min(source.channels, target.channels))

    def _run_plain(self, kernel: Callable[..., None], source: View, target: View, channels: int) -> None:
        """Run a kernel whose output voxel reads the same input voxel."""
        region = target.inner
        kernel(
            source.flat, source.at(region.start), source.steps, target.flat, target.at(region.start), target.steps,
            region.shape, channels,
        )  # fmt: skip

    def _run_add(self, bound: BoundAdd, sources: Sequence[View], target: View) -> None:
        region = target.inner
        inputs = [(source.at(region.start), source.steps) for source in sources]
        channels = min(view.channels for view in (*sources, target))
        bound.run(self.arena.flat, inputs, target.flat, target.at(region.start), target.steps, region.shape, channels)

    def _run_conv(self, op: Conv3d, conv: BoundConv, source: View, target: View) -> None:
        region = target.inner
        first = tuple(o * s - p for o, s, p in zip(region.start, op.stride, op.pad_low, strict=True))
        offsets = [
            [t * op.dilation[axis] * source.steps[1 + axis] for t in range(op.kernel_size[axis])] for axis in range(3)
        ]
        steps = (source.steps[0], *(s * n for s, n in zip(op.stride, source.steps[1:], strict=True)))
        conv.run(
            source.flat, source.at(first), steps, _outer_sum(offsets),
            target.flat, target.at(region.start), target.steps, region.shape, region.start, self._scratch,
        )  # fmt: skip

    def _run_sweep(self, node: Node, conv: BoundSweep, source: View, target: View) -> None:
        region, op = target.inner, node.op
        shape, mode = self.plan.graph.wire(node.inputs[0]).shape, op.padding_mode
        sources = []
        for axis in range(3):
            first, stop = op.in_interval(axis, (region.start[axis], region.stop[axis]))
            wanted, length = np.arange(first, stop), shape[axis]
            if mode in (None, "zeros"):
                sources.append(np.where((wanted >= 0) & (wanted < length), wanted - source.box.start[axis], -1))
            else:
                sources.append(source_index(wanted, length, mode) - source.box.start[axis])
        conv.run_sweep(
            source.flat, source.start, source.steps, sources,
            target.flat, target.at(region.start), target.steps, region.shape, self._scratch,
        )  # fmt: skip

    def _run_phases(self, op: ConvTranspose3d, bound: BoundPhases, source: View, target: View) -> None:
        """Run all phases at once: over most of the region all of them, at its faces those whose outputs lie in it."""
        region, flat = target.inner, self.arena.flat
        numbers = {phase.offset: n for n, phase in enumerate(list_phases(op))}
        axes = [place_ranges(op, axis, (region.start[axis], region.stop[axis])) for axis in range(3)]
        for z, y, x in product(*axes):
            places = [run for run, _ in (z, y, x)]
            first = tuple(a * s - p for (a, _), s, p in zip(places, op.stride, op.pad_low, strict=True))
            bound.run(
                flat, source.at(tuple(a for a, _ in places)), source.steps, flat, target.at(first), target.steps,
                op.stride, [b - a for a, b in places], [numbers[offset] for offset in product(z[1], y[1], x[1])],
            )  # fmt: skip

    def _run_phase(self, op: ConvTranspose3d, phase: Phase, conv: BoundConv, source: View, target: View) -> None:
        region = target.inner
        first, box, offsets = [], [], []
        for axis in range(3):
            start, count = phase_outputs(op, phase, axis, (region.start[axis], region.stop[axis]))
            first.append(start)
            box.append(count)
            origin = source.box.start[axis]
            step = source.steps[1 + axis]
            offsets.append([(i - origin) * step for i in tap_inputs(op, phase, axis, start)])
        if prod(box) == 0:
            return
        out_steps = (target.steps[0], *(s * n for s, n in zip(op.stride, target.steps[1:], strict=True)))
        conv.run(
            source.flat, source.start, source.steps, _outer_sum(offsets),
            target.flat, target.at(tuple(first)), out_steps, (box[0], box[1], box[2]),
        )  # fmt: skip


def _convolutions(bound: Any) -> list[BoundConv | BoundPhases]:
    """Return the convolutions of what `_bind` returned: one, those of all phases, or none."""
    if isinstance(bound, list):
        return [conv for _, conv in bound]
    return [bound] if isinstance(bound, BoundConv | BoundPhases) else []


def _make_scratch(bound: Mapping[str, Any], threads: int, dtype: Any) -> NDArray[Any]:
    """Return the kernels' working memory for `threads`: one piece, since they run one after the other."""
    needs = [conv.scratch_elements(threads) for conv in bound.values() if isinstance(conv, BoundConv)]
    most = max(needs, default=0)
    return allot(max(most, _HUGE_PAGES // np.dtype(dtype).itemsize) if most else 0, dtype)


def node_inputs(plan: Plan, node: Node) -> int:
    """Return the channels of what `node` reads."""
    return plan.graph.wire(node.inputs[0]).channels


def _outer_sum(offsets: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return the element offset of each tap, d slowest."""
    d, h, w = (np.asarray(part, np.int64) for part in offsets)
    return (d[:, None, None] + h[:, None] + w).ravel()


def _bind(node: Node, plan: Plan) -> Any:
    """Return what runs `node`: its weights packed for its kernel."""
    dtype = compute_dtype(node.wire.dtype)
    op, channels = node.op, node.wire.channels
    if isinstance(op, Conv3d | ConvTranspose3d):
        epilogue = make_epilogue(node.epilogue, channels, dtype)
        kernel, shape = plan.kernels[node.name], conv_shape(op, node.wire.dtype, node.algorithm)
        weight = node.tensors["factors" if node.algorithm == "factored" else "weight"].astype(dtype)
        bias = node.tensors["bias"].astype(dtype) if op.bias else None
        if isinstance(op, Conv3d):
            return bind_conv(kernel, shape, weight.reshape(op.out_channels, shape.group_inputs, -1), bias, epilogue)
        if kernel.name == "phases":
            parts = [
                PhaseWeights(phase.offset, phase_reads(op, phase), phase_weights(op, phase, weight))
                for phase in list_phases(op)
            ]
            return bind_phases(kernel, shape, parts, bias, epilogue)
        bound = []
        for phase in list_phases(op):
            part = phase_weights(op, phase, weight)
            bound.append((phase, bind_conv(kernel, replace(shape, taps=part.shape[2]), part, bias, epilogue)))
        return bound
    if op.kernel == "add":
        return bind_add(make_epilogue(node.epilogue, channels, dtype), dtype)
    if op.kernel == "pointwise":
        return bind_pointwise(make_epilogue((node, *node.epilogue), channels, dtype), dtype)
    return None


def needed_kernels(plan: Plan) -> list[KernelSpec]:
    """Return every kernel that running `plan` needs."""
    specs: list[KernelSpec] = []
    for node in plan.graph.nodes:
        dtype = compute_dtype(node.wire.dtype)
        if isinstance(node.op, Conv3d | ConvTranspose3d):
            epilogue = make_epilogue(node.epilogue, node.wire.channels, dtype)
            specs.extend(kernel_specs(plan.kernels[node.name], conv_shape(node.op, dtype, node.algorithm), epilogue))
        elif node.op.kernel == "add":
            specs.extend(add_specs(dtype))
        elif node.op.kernel == "pointwise":
            specs.extend(pointwise_specs(dtype))
        else:
            specs.extend(norm_specs(dtype) if node.op.kernel == "vector_norm" else copy_specs(dtype))
    if any(step.kind == "copy" for step in plan.steps):
        specs.extend(copy_specs(compute_dtype(plan.graph.input.dtype)))
    modes = {buffer.mode for buffer in plan.buffers} - {None}
    if modes:
        specs.extend(border_specs(compute_dtype(plan.graph.input.dtype), copies=modes != {"zeros"}))
    if plan.graph.input.dtype in HALVES:
        specs.extend(half_specs(plan.graph.input.dtype))
    return specs

"""Transposed convolutions: all phases in one call where a kernel can, else one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import prod

from ...geometry import Triple
from ...graph.model import Node
from ...kernels.conv import BoundConv, BoundMinimal, BoundPhases, PhaseWeights, bind_conv, bind_phases
from ...ops.conv_transpose3d import ConvTranspose3d
from ...plan.model import Plan
from ..arena import View
from ..phases import Phase, list_phases, phase_outputs, phase_reads, phase_weights, place_ranges, tap_inputs
from .base import Array, residual_of
from .convolution import outer_sum
from .weights import layer_epilogue, layer_kernels, layer_shape, layer_tensors

kernels = layer_kernels


def bind(node: Node, plan: Plan) -> AllPhases | EachPhase | Tiles:
    """Return what runs `node`."""
    op, kernel = node.op, plan.kernels[node.name]
    assert isinstance(op, ConvTranspose3d)
    shape, (weight, bias), epilogue = layer_shape(node), layer_tensors(node), layer_epilogue(node)
    if kernel.name == "minimal":
        taps = weight.swapaxes(0, 1).reshape(op.out_channels, op.in_channels, -1)
        minimal = bind_conv(kernel, replace(shape, taps=taps.shape[2]), taps, bias, epilogue)
        assert isinstance(minimal, BoundMinimal)
        return Tiles(op, minimal)
    phases = [(phase, phase_weights(op, phase, weight)) for phase in list_phases(op)]
    if kernel.name == "phases":
        parts = [PhaseWeights(phase.offset, phase_reads(op, phase), part) for phase, part in phases]
        return AllPhases(op, bind_phases(kernel, shape, parts, bias, epilogue))
    bound = [
        (phase, bind_conv(kernel, replace(shape, taps=part.shape[2]), part, bias, epilogue)) for phase, part in phases
    ]
    return EachPhase(op, bound)


class AllPhases:
    """All phases at once: over most of the region all of them, at its faces those whose outputs lie in it."""

    def __init__(self, op: ConvTranspose3d, bound: BoundPhases) -> None:
        self._op = op
        self._bound = bound
        self._numbers = {phase.offset: n for n, phase in enumerate(list_phases(op))}

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights."""
        return self._bound.nbytes

    def scratch_elements(self, threads: int) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        source, region, op = sources[0], target.inner, self._op
        axes = [place_ranges(op, axis, (region.start[axis], region.stop[axis])) for axis in range(3)]
        for z, y, x in product(*axes):
            places = [run for run, _ in (z, y, x)]
            first = tuple(a * s - p for (a, _), s, p in zip(places, op.stride, op.pad_low, strict=True))
            phases = [self._numbers[offset] for offset in product(z[1], y[1], x[1])]
            self._bound.run(
                source.flat, source.at(tuple(a for a, _ in places)), source.steps,
                target.flat, target.at(first), target.steps, op.stride, [b - a for a, b in places], phases,
                residual_of(sources, first),
            )  # fmt: skip


class Tiles:
    """All phases at once, in tiles of the outputs of two inputs an axis."""

    def __init__(self, op: ConvTranspose3d, bound: BoundMinimal) -> None:
        self._op = op
        self._bound = bound

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights."""
        return self._bound.nbytes

    def scratch_elements(self, threads: int) -> int:
        """Return what the kernel works in."""
        return self._bound.scratch_elements(threads)

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:
        """Compute ``target.inner``."""
        source, region, op = sources[0], target.inner, self._op
        reads = [op.in_interval(axis, (region.start[axis], region.stop[axis])) for axis in range(3)]
        self._bound.run_transposed(
            source.flat, source.at((reads[0][0], reads[1][0], reads[2][0])), source.steps, reads,
            target.flat, target.at(region.start), target.steps, region.shape,
            [start + pad for start, pad in zip(region.start, op.pad_low, strict=True)], scratch,
            residual_of(sources, region.start),
        )  # fmt: skip


class EachPhase:
    """A small convolution for each phase."""

    def __init__(self, op: ConvTranspose3d, bound: Sequence[tuple[Phase, BoundConv]]) -> None:
        self._op = op
        self._bound = bound

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights."""
        return sum(conv.nbytes for _, conv in self._bound)

    def scratch_elements(self, threads: int) -> int:  # noqa: ARG002
        """Return 0: the kernels of phases take their own."""
        return 0

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:  # noqa: ARG002
        """Compute ``target.inner``."""
        for phase, conv in self._bound:
            self._run_phase(phase, conv, sources, target)

    def _run_phase(self, phase: Phase, conv: BoundConv, sources: Sequence[View], target: View) -> None:
        source, region, op = sources[0], target.inner, self._op
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
        out_steps = _times(op.stride, target.steps)
        residual = residual_of(sources, tuple(first))
        if residual is not None:
            residual = residual._replace(steps=_times(op.stride, residual.steps))
        conv.run(
            source.flat, source.start, source.steps, outer_sum(offsets),
            target.flat, target.at(tuple(first)), out_steps, (box[0], box[1], box[2]),
            residual=residual,
        )  # fmt: skip


def _times(stride: Triple, steps: Sequence[int]) -> tuple[int, ...]:
    """Return the steps (c, z, y, x) between outputs of one phase."""
    return (steps[0], *(s * n for s, n in zip(stride, steps[1:], strict=True)))

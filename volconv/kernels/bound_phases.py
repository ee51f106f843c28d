"""Bind a transposed convolution to the kernel of all its phases: which of them share a block, and how jobs are cut."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import conv_plan as at
from . import jit
from .catalog import IN_REGISTERS, ConvKernel, ConvShape, Epilogue
from .conv_pack import LINE_BYTES, Residual, align_values, epilogue_rows, kernel_specs, record_residual

Array = np.ndarray[Any, Any]
_JOB_PRODUCTS = 1 << 23  # multiply-adds a job should have: some 100 microseconds
_NOWHERE = -1


@dataclass(frozen=True, eq=False)
class PhaseWeights:
    """One phase of outputs of a transposed convolution.

    Attributes
    ----------
    offset : 3 ints
        Where its output lies (z, y, x), in voxels behind the input's place times the stride.
    reads : (T, 3) int array
        Which input each tap reads, in voxels (z, y, x) from the input's place.
    values : (O, I/G, T) array
    """

    offset: tuple[int, int, int]
    reads: Array
    values: Array


@dataclass(frozen=True, eq=False)
class _Block:
    """Sums that share their inputs: the phase and first stored channel of each column, and where its weights lie."""

    group: int
    reads: Array
    columns: tuple[tuple[int, int], ...]
    weights: int


class BoundPhases:
    """A transposed convolution ready to run; made by `bind_phases`."""

    def __init__(
        self,
        kernel: ConvKernel,
        shape: ConvShape,
        phases: Sequence[PhaseWeights],
        bias: Array | None,
        epilogue: Epilogue,
    ) -> None:
        self.kernel, self.shape = kernel, shape
        self._phases = tuple(phases)
        self._blocks: list[_Block] = []
        mode, rows = epilogue_rows(epilogue, shape.out_channels)
        if bias is not None:
            rows[at.BIAS] = bias
        rows = self._pad(rows)
        parts, tables, start = [], [], 0
        for group, reads, columns in self._share():
            parts.append(self._pack_weights(columns))
            tables.append(self._by_columns([rows[:, c : c + kernel.lanes] for _, c in columns]))
            self._blocks.append(_Block(group, reads, columns, start))
            start += parts[-1].size
        self._weights = align_values(np.concatenate(parts).astype(shape.dtype))
        self._table = align_values(np.concatenate(tables).astype(shape.dtype))
        self._affine, self._mode = epilogue.scale is not None, mode
        self._epilogue, self._activate = epilogue, epilogue.activation not in IN_REGISTERS
        (spec,) = kernel_specs(kernel, shape, epilogue)
        self._run = jit.get_kernel(spec)

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights and epilogue."""
        return int(self._weights.nbytes + self._table.nbytes)

    def run(
        self,
        x: Array,
        x_start: int,
        x_steps: Sequence[int],
        out: Array,
        out_start: int,
        out_steps: Sequence[int],
        stride: Sequence[int],
        box: Sequence[int],
        phases: Collection[int] | None = None,
        residual: Residual | None = None,
    ) -> None:
        """Compute the outputs of every input's place (z, y, x) of a box, for every phase and output channel.

        Parameters
        ----------
        x, out : flat arrays of the shape's dtype
        x_start, out_start : int
            Element of channel 0 of the first place's input, and of its output of offset (0, 0, 0).
        x_steps, out_steps : 4 ints
            Elements from one channel, z, y, x to the next. The channel step of `out` must be 1, with room for channels
            rounded up to the kernel's `channel_multiple`.
        stride : 3 ints
            Outputs from one place to the next along z, y, x.
        box : 3 ints
            Places along z, y, x.
        phases : collection of int, optional
            Numbers of the phases to compute; all if left out.
        residual : Residual, optional
            What is added, steps and start as those of `out`; there if the epilogue has a place for it.
        """
        if min(box) <= 0:
            return
        plan = np.zeros(at.LENGTH, np.int64)
        at.fill_steps(plan, x_start, x_steps, out_start, _times(stride, out_steps), box)
        wanted = range(len(self._phases)) if phases is None else phases
        far = None
        if residual is not None:
            far = residual._replace(steps=_times(stride, residual.steps))
        other = record_residual(plan, far, self._epilogue, self._table)
        added = out_steps if residual is None else residual.steps
        tables = self._list_blocks(plan, x_steps, out_steps, added, wanted)
        self._cut_jobs(plan, jit.thread_count())
        self._run(x, self._weights, self._table, out, other, tables, plan)

    @property
    def _stored_outputs(self) -> int:
        """Output channels of a group, rounded up to whole vectors."""
        return -(-self.shape.group_outputs // self.kernel.lanes) * self.kernel.lanes

    def _share(self) -> Iterator[tuple[int, Array, tuple[tuple[int, int], ...]]]:
        """Yield group, inputs and columns of each block: of phases that read the same inputs."""
        alike: dict[bytes, list[int]] = {}
        for n, phase in enumerate(self._phases):
            alike.setdefault(np.asarray(phase.reads, np.int64).tobytes(), []).append(n)
        channels = range(0, self._stored_outputs, self.kernel.lanes)
        for group in range(self.shape.groups):
            for numbers in alike.values():
                columns = [(n, group * self._stored_outputs + c) for n in numbers for c in channels]
                for first in range(0, len(columns), self.kernel.width):
                    part = tuple(columns[first : first + self.kernel.width])
                    yield group, np.asarray(self._phases[numbers[0]].reads, np.int64).reshape(-1, 3), part

    def _pad(self, rows: Array) -> Array:
        """Return (n, O) with zeros behind the last channel of each group, up to whole vectors."""
        shape = self.shape
        padded = np.zeros((len(rows), shape.groups, self._stored_outputs), rows.dtype)
        padded[:, :, : shape.group_outputs] = rows.reshape(len(rows), shape.groups, shape.group_outputs)
        return padded.reshape(len(rows), shape.groups * self._stored_outputs)

    def _pack_weights(self, columns: Sequence[tuple[int, int]]) -> Array:
        """Return the weights of a block as the kernel reads them: (tap, input channel, column, lane)."""
        parts = []
        for n, channel in columns:
            values = self._phases[n].values.transpose(2, 1, 0).reshape(-1, self.shape.out_channels)
            parts.append(self._pad(values)[:, channel : channel + self.kernel.lanes])
        return self._by_columns(parts)

    def _by_columns(self, parts: Sequence[Array]) -> Array:
        """Return (n, lanes) of each column as flat (n, column, lane), zero in columns a block lacks."""
        packed = np.zeros((len(parts[0]), self.kernel.width, self.kernel.lanes), parts[0].dtype)
        for c, part in enumerate(parts):
            packed[:, c] = part
        return packed.ravel()

    def _list_blocks(
        self,
        plan: Array,
        x_steps: Sequence[int],
        out_steps: Sequence[int],
        added_steps: Sequence[int],
        wanted: Collection[int],
    ) -> Array:
        """Return the offsets of all products and, behind them, the records of the blocks that compute `wanted`."""
        shape = self.shape
        row = at.TABLE_ROWS * self.kernel.width * self.kernel.lanes
        channels = np.arange(shape.group_inputs) * x_steps[0]
        offsets, records, start, products = [], [], 0, 0
        for number, block in enumerate(self._blocks):
            if not any(n in wanted for n, _ in block.columns):
                continue
            shifts = np.add.outer(block.reads @ np.asarray(x_steps[1:], np.int64), channels).ravel()
            places, added = [_NOWHERE] * self.kernel.width, [_NOWHERE] * self.kernel.width
            for c, (n, channel) in enumerate(block.columns):
                if n in wanted:
                    offset = self._phases[n].offset
                    places[c] = channel + sum(a * b for a, b in zip(offset, out_steps[1:], strict=True))
                    added[c] = channel + sum(a * b for a, b in zip(offset, added_steps[1:], strict=True))
            some = next(place for place in added if place != _NOWHERE)
            added = [some if place == _NOWHERE else place for place in added]
            inputs = block.group * shape.group_inputs * x_steps[0]
            records.append([len(shifts), start, block.weights, number * row, inputs, *places, *added])
            offsets.append(shifts)
            start, products = start + len(shifts), products + len(shifts)
        plan[at.RECORDS], plan[at.BLOCKS], plan[at.PRODUCTS] = start, len(records), products
        return np.concatenate([*offsets, np.array(records, np.int64).ravel()])

    def _cut_jobs(self, plan: Array, threads: int) -> None:
        """Write the layer's constants into `plan`, and jobs of about equal work, several a thread where possible."""
        kernel, shape = self.kernel, self.shape
        voxels = int(plan[at.N_Z : at.N_X + 1].prod())
        products = max(1, int(plan[at.PRODUCTS])) * kernel.width * kernel.lanes
        wanted = max(1, voxels // (4 * threads))
        per_job = max(1, min(_JOB_PRODUCTS // products, wanted))
        per_job = max(per_job, min(24 * kernel.block, wanted))  # enough to pay for fetching far weights
        per_job = -(-per_job // kernel.block) * kernel.block
        plan[at.PER_JOB], plan[at.JOBS] = per_job, -(-voxels // per_job)
        plan[at.AFFINE], plan[at.MODE], plan[at.THREADS] = self._affine, self._mode, threads
        plan[at.ACTIVATE] = self._activate
        line = LINE_BYTES // shape.itemsize
        if shape.taps == 1 and plan[at.X_C] == 1:  # each input is read once: arithmetic does not hide that it is far
            plan[at.AHEAD] = 2 * kernel.block * plan[at.X_X]
            plan[at.AHEAD_LINES], plan[at.LINE] = -(-shape.group_inputs // line), line


def _times(stride: Sequence[int], steps: Sequence[int]) -> tuple[int, ...]:
    """Return the steps (c, z, y, x) from one place to the next, `stride` outputs apart."""
    return (steps[0], *(s * n for s, n in zip(stride, steps[1:], strict=True)))

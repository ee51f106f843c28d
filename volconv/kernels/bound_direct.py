"""Bind a layer's weights to the direct kernels: how weights are packed and jobs are cut for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import conv_plan as at
from . import jit
from .catalog import IN_REGISTERS, ConvKernel, ConvShape, Epilogue
from .conv_pack import LINE_BYTES, Residual, align_values, epilogue_rows, kernel_specs, record_residual
from .row_sharing import FARTHEST, Sharing, pack_shared, share_rows

Array = np.ndarray[Any, Any]
SLACK = 4096
"""Elements that must be readable behind the last voxel addressed: lanes that are not stored read there."""
_CACHED_WEIGHTS = 1 << 19  # bytes of weights that stay in the L2 cache while all voxels of a job use them
_JOB_PRODUCTS = 1 << 23  # multiply-adds a job should have: some 100 microseconds


class BoundConv:
    """A convolution ready to run; made by `bind_conv`."""

    def __init__(
        self, kernel: ConvKernel, shape: ConvShape, weights: Array, bias: Array | None, epilogue: Epilogue
    ) -> None:
        self.kernel = kernel
        self.shape = shape
        self._width = kernel.width * (kernel.lanes if kernel.writes == "last" else 1)
        self._weights = self._pack_weights(weights.astype(shape.dtype))
        mode, rows = epilogue_rows(epilogue, shape.out_channels)
        if bias is not None:
            rows[at.BIAS] = bias
        self._table = self._pack_table(rows)
        self._epilogue = epilogue
        self._affine, self._mode = epilogue.scale is not None, mode
        self._activate = epilogue.activation not in IN_REGISTERS
        (spec,) = kernel_specs(kernel, shape, epilogue)
        self._run = jit.get_kernel(spec)

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights and epilogue."""
        return int(self._weights.nbytes + self._table.nbytes)

    def scratch_elements(self, threads: int) -> int:  # noqa: ARG002
        """Return the elements of working memory that `run` needs."""
        return 0

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
        """Compute every voxel (z, y, x) of a box, for every output channel o of group g.

        ``out[out_start + o*oc + z*oz + y*oy + x*ox]`` becomes the epilogue of the bias plus the sum, over taps t and in
        each over input channels c of the group, in this order, of
        ``x[x_start + (g*I/G + c)*xc + z*xz + y*xy + x*xx + taps[t]] * W[o, c, t]``.

        Parameters
        ----------
        x, out : flat arrays of the shape's dtype
            4096 elements behind the last one addressed in `x` must be readable.
        x_start, out_start : int
            Element of voxel (0, 0, 0) of channel 0.
        x_steps, out_steps : 4 ints
            Elements from one channel, z, y, x to the next. A kernel that writes ``last`` needs a channel step of 1 and
            room for channels rounded up to its `channel_multiple`.
        taps : (T,) int array
            Where each tap reads, in elements from the voxel.
        box : 3 ints
            Voxels along z, y, x.
        origin : 3 ints
            Place of the box's first voxel in the whole output, for kernels that compute neighbours together.
        scratch : flat array of the shape's dtype, optional
            Of at least `scratch_elements`; made for the call if left out.
        residual : Residual, optional
            What is added; there if the epilogue has a place for it.
        """
        del origin, scratch
        if min(box) <= 0:
            return
        if box[2] > 1 and not self._can_load_rows(x_steps[3]):
            for i in range(box[2]):
                starts = x_start + i * x_steps[3], out_start + i * out_steps[3]
                column = (*x_steps[:3], self.kernel.step or 1)
                part = None if residual is None else residual.ahead(i * residual.steps[3])
                self.run(x, starts[0], column, taps, out, starts[1], out_steps, (*box[:2], 1), residual=part)
            return
        plan = np.zeros(at.LENGTH, np.int64)
        at.fill_steps(plan, x_start, x_steps, out_start, out_steps, box)
        other = record_residual(plan, residual, self._epilogue, self._table)
        weights, tables = self._place_taps(plan, np.asarray(taps, np.int64))
        if self.kernel.name == "first":
            plan[at.HINTS] = len(tables)
            tables = np.concatenate([tables, self._hints(tables, plan)])
        self._cut_jobs(plan, jit.thread_count())
        if self.kernel.writes == "last":
            self._fetch_ahead(plan)
        self._run(x, weights, self._table, out, other, tables, plan)

    def _fetch_ahead(self, plan: Array) -> None:
        """Write into `plan` which inputs are fetched ahead."""
        shape, line = self.shape, LINE_BYTES // self.shape.itemsize
        if shape.taps == 1 and plan[at.X_C] == 1:  # each input is read once: arithmetic does not hide that it is far
            plan[at.AHEAD] = 2 * self.kernel.block * plan[at.X_X]
            plan[at.AHEAD_LINES], plan[at.LINE] = -(-shape.group_inputs // line), line

    def _can_load_rows(self, x_step: int) -> bool:
        """Return whether vectors along w can be loaded: at the step compiled for, and never far behind the input."""
        kernel = self.kernel
        if kernel.writes == "last":
            return True
        return x_step == (kernel.step or x_step) and kernel.block * kernel.lanes * x_step <= SLACK

    def _pack_weights(self, weights: Array) -> Array:
        """Return the weights as the kernel reads them: (output block, tap, channel, width)."""
        return self._by_blocks(weights.transpose(2, 1, 0).reshape(-1, self.shape.out_channels))

    def _pack_table(self, rows: Array) -> Array:
        """Return the epilogue's table (row, channel) as the kernel reads it: (output block, row, width)."""
        return self._by_blocks(rows)

    def _place_taps(self, plan: Array, taps: Array) -> tuple[Array, Array]:
        """Return the weights, and the offset of each product's input."""
        return self._weights, self._all_channels(taps, int(plan[at.X_C]))

    def _hints(self, shifts: Array, plan: Array) -> Array:
        """Return two offsets a product of lines to fetch ahead: what the block at this place of the next row reads.

        A dilated layer reads more rows at a time than the processor's own prefetching follows.
        """
        reach = self.kernel.block * self.kernel.lanes * int(plan[at.X_X])
        line = LINE_BYTES // self.shape.itemsize
        lines = np.unique((shifts[:, None] + np.arange(0, reach + line, line)) // line) * line
        hints = np.full(2 * len(shifts), lines[-1] if len(lines) else 0)
        hints[: len(lines)] = lines[: len(hints)]
        return hints + int(plan[at.X_Y])

    def _all_channels(self, offsets: Array, channel_step: int) -> Array:
        """Return the offsets, each for every input channel of a group in turn."""
        return np.add.outer(offsets, np.arange(self.shape.group_inputs) * channel_step).ravel()

    def _count_lines(self, plan: Array) -> tuple[int, int]:
        """Return how many units of work the box has, and the multiply-adds of one in each output block."""
        products = max(1, self.shape.group_inputs * self.shape.taps) * self._width
        voxels = int(plan[at.N_Z] * plan[at.N_Y] * plan[at.N_X])
        if self.kernel.name == "last":
            return voxels, products
        return voxels // int(plan[at.N_X]), products * int(plan[at.N_X])

    def _by_blocks(self, rows: Array) -> Array:
        """Return (n, O) as flat (output block, n, width), zero where a group's last block is not full."""
        shape, width = self.shape, self._width
        blocks = -(-shape.group_outputs // width)
        packed = np.zeros((len(rows), shape.groups, blocks * width), shape.dtype)
        packed[:, :, : shape.group_outputs] = rows.reshape(len(rows), shape.groups, shape.group_outputs)
        by_block = packed.reshape(len(rows), shape.groups * blocks, width).transpose(1, 0, 2)
        return align_values(by_block.ravel())

    def _cut_jobs(self, plan: Array, threads: int) -> None:
        """Write the layer's constants into `plan`, and jobs of about equal work, several a thread where possible."""
        shape, kernel = self.shape, self.kernel
        products = shape.group_inputs * shape.taps
        blocks = -(-shape.group_outputs // self._width)
        units, unit_products = self._count_lines(plan)
        last = kernel.name == "last"
        shares = shape.groups * blocks
        # Blocks of one group read the same inputs; groups at once would be too many streams for the prefetchers.
        a_job = 1 if last or units < 8 * threads else blocks
        wanted = units * shares // (a_job * 4 * threads)
        per_job = max(1, min(_JOB_PRODUCTS // (unit_products * a_job), wanted, units))
        if last:  # enough voxels to pay for fetching weights that only the L3 cache holds
            per_job = max(per_job, min(24 * kernel.block, wanted))
            per_job = -(-per_job // kernel.block) * kernel.block
        plan[at.PRODUCTS] = products
        plan[at.SPLIT] = max(64, _CACHED_WEIGHTS // (self._width * shape.itemsize)) if last else products
        plan[at.GROUP_INPUTS], plan[at.BLOCKS] = shape.group_inputs, blocks
        plan[at.GROUP_OUTPUTS] = -(-shape.group_outputs // kernel.channel_multiple) * kernel.channel_multiple
        plan[at.AFFINE], plan[at.MODE], plan[at.THREADS] = self._affine, self._mode, threads
        plan[at.ACTIVATE] = self._activate
        plan[at.WHOLE] = whole_blocks(kernel, int(plan[at.N_X]))
        plan[at.ALL_BLOCKS], plan[at.BLOCKS_A_JOB] = shares, a_job
        plan[at.PER_JOB] = per_job
        plan[at.JOBS] = -(-units // per_job) * -(-shares // a_job)


class BoundRows(BoundConv):
    """A convolution of one output channel a group, in blocks of rows that share what they load."""

    _remembered = 32  # geometries: buffers of a plan have few different steps

    @property
    def nbytes(self) -> int:
        """Bytes of packed weights and epilogue, weights in the order of every geometry met among them."""
        return super().nbytes + sum(int(weights.nbytes) for _, weights in self._shared.values())

    def _pack_weights(self, weights: Array) -> Array:
        self._shared: dict[tuple[Any, ...], tuple[Sharing, Array]] = {}
        return weights.reshape(self.shape.groups, self.shape.group_inputs, self.shape.taps)

    def _pack_table(self, rows: Array) -> Array:
        return align_values(np.repeat(rows.T[:, :, None], self._width, 2).astype(self.shape.dtype).ravel())

    def _place_taps(self, plan: Array, taps: Array) -> tuple[Array, Array]:
        """Return the weights, and offsets of all loads, runs and first rows; block rows lie along the plan's y."""
        sharing, weights = self._share(plan, taps)
        if sharing.along_z:
            pairs = (at.N_Z, at.N_Y), (at.X_Z, at.X_Y), (at.OUT_Z, at.OUT_Y), (at.RESIDUAL_Z, at.RESIDUAL_Y)
            for z, y in pairs:
                plan[[z, y]] = plan[[y, z]]
        spacing, rows = sharing.spacing, int(plan[at.N_Y])
        firsts = [y for q in range(min(spacing, rows)) for y in range(q, rows, spacing * self._width)]
        loads = self._all_channels(sharing.loads, int(plan[at.X_C]))
        plan[at.RUNS], plan[at.RUNS_START] = len(sharing.runs), len(loads)
        plan[at.ROW_BLOCKS], plan[at.ROW_STARTS] = len(firsts), len(loads) + sharing.runs.size
        plan[at.SPACING], plan[at.ROW_STEP] = spacing, spacing * plan[at.OUT_Y]
        plan[at.RESIDUAL_ROWS] = spacing * plan[at.RESIDUAL_Y]
        plan[at.GROUP_WEIGHTS] = len(weights) // self.shape.groups
        return weights, np.concatenate([loads, sharing.runs.ravel(), np.array(firsts, np.int64)])

    def _share(self, plan: Array, taps: Array) -> tuple[Sharing, Array]:
        """Return how rows share loads in this geometry, and the weights in that order."""
        z_step, y_step, rows_z, rows_y = (int(plan[i]) for i in (at.X_Z, at.X_Y, at.N_Z, at.N_Y))
        key = (taps.tobytes(), z_step, y_step, min(rows_z, FARTHEST + 1), min(rows_y, FARTHEST + 1))
        if key not in self._shared:
            if len(self._shared) >= self._remembered:
                self._shared.clear()
            sharing = share_rows(taps, (z_step, y_step), (rows_z, rows_y))
            self._shared[key] = sharing, align_values(pack_shared(sharing, self._weights).ravel())
        return self._shared[key]

    def _count_lines(self, plan: Array) -> tuple[int, int]:
        _, products = super()._count_lines(plan)
        return int(plan[at.N_Z] * plan[at.ROW_BLOCKS]), products


def whole_blocks(kernel: ConvKernel, voxels: int) -> int:
    """Return how many of a row's voxels full blocks compute, such that they and the smaller ones waste least."""
    if kernel.name == "last":
        return voxels
    vectors = -(-voxels // kernel.lanes)

    def cost(tails: int) -> int:
        blocks = max(0, -(-(vectors - tails * kernel.tail) // kernel.block))
        # Two multiply-adds a cycle of four cycles' latency: a block takes at least as long as one of 8 sums.
        return blocks * max(8, kernel.block * kernel.width) + tails * max(8, kernel.tail * kernel.width)

    tails = min(range(-(-vectors // kernel.tail) + 1), key=cost)
    return min(voxels, max(0, -(-(vectors - tails * kernel.tail) // kernel.block)) * kernel.block * kernel.lanes)


def share_scratch(conv: BoundConv, scratch: Array | None) -> tuple[int, Array]:
    """Return how many threads may work for `conv`, and their memory: `scratch`, or memory made for one call.

    The number of threads is the process's: another run may have set a larger one since `scratch` was made.
    """
    threads = jit.thread_count()
    if scratch is None:
        return threads, np.empty(conv.scratch_elements(threads), conv.shape.dtype)
    return min(threads, scratch.size // conv.scratch_elements(1)), scratch

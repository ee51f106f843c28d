"""Convolution with one output channel a group: vectors of voxels along w, two output rows at once, channels first.

One output channel would need a load for every multiply-add, and loads are half as fast where they straddle cache lines.
But an input row serves several output rows, each under another tap: a block holds the sums of ROWS rows, and every
input vector is loaded once for all of them. `share_rows` makes the list of what is loaded and which rows use it.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block, Span
from .conv_finish import make_activate_row, rename
from .conv_first import bound_channels, scale_channels, store_spaced
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_span
from .residual import add_lanes, make_finish
from .row_sharing import ROWS
from .simd import advance, columns_of, lanes_of, next_job, pointer, rows_of, store_lanes, zeros


@inlined
def sum_span(span: Any, sums: Any, x: Any, shifts: Any, a: Any, b: Any, weights: Any, step: Any, x_x: Any) -> Any:
    """Return the sums with loads `a` to `b` added in the rows of `span`; weights lie `step` apart."""
    for k in range(a, b):
        sums = fma_span(span, sums, advance(x, shifts[k]), x_x, advance(weights, (k - a) * step))
    return sums


def _make_strip(residual: bool) -> Any:
    """Return the device function that computes part of a block of rows."""
    finish = make_finish(scale_channels, bound_channels, add_lanes if residual else None)
    one, two, both = Span(0, 1), Span(1, 2), Span(0, 2)

    def conv_rows_strip(kind: Any, row: Any, plan: Any, rows: Any, first: Any, stop: Any) -> None:
        x, weights, table, out, other, shifts, runs = row
        x_x, inputs = plan[at.X_X], plan[at.GROUP_INPUTS]
        for voxel in range(first, stop, rows_of(kind) * lanes_of(kind)):
            sums = zeros(kind)
            start = advance(x, voxel * x_x)
            at_weight = weights
            for r in range(plan[at.RUNS]):
                low, high = runs[4 * r], runs[4 * r + 1]
                a, b = runs[4 * r + 2] * inputs, runs[4 * r + 3] * inputs
                n = high - low
                if n == 2:
                    sums = sum_span(both, sums, start, shifts, a, b, at_weight, n, x_x)
                elif low == 0:
                    sums = sum_span(one, sums, start, shifts, a, b, at_weight, n, x_x)
                elif rows == 2:
                    sums = sum_span(two, sums, start, shifts, a, b, at_weight, n, x_x)
                at_weight = advance(at_weight, (b - a) * n)
            x_step = plan[at.RESIDUAL_X]
            added = (advance(other, voxel * x_step), plan[at.RESIDUAL_ROWS], x_step, rows, stop - voxel)
            sums = finish(kind, sums, table, plan, added)
            target = advance(out, voxel * plan[at.OUT_X])
            if plan[at.OUT_X] == 1:
                store_lanes(sums, target, plan[at.ROW_STEP], rows, stop - voxel)
            else:
                store_spaced(kind, sums, target, plan[at.ROW_STEP], plan[at.OUT_X], rows, stop - voxel)

    return device(rename(conv_rows_strip, f"conv_rows_strip_{int(residual)}"))


def _make_job(real: Any, code: int, residual: bool) -> Any:
    """Return the device function of one job, with activation number `code` after the stores."""
    activate_row, conv_rows_strip = make_activate_row(real, code), _make_strip(residual)

    def conv_rows_job(kind: Any, tail: Any, arrays: Any, plan: Any, job: Any) -> None:
        x, weights, table, out, other, tables = arrays
        shares = -(-plan[at.ALL_BLOCKS] // plan[at.BLOCKS_A_JOB])
        first, first_block = job // shares * plan[at.PER_JOB], job % shares * plan[at.BLOCKS_A_JOB]
        width, blocks, whole = columns_of(kind), plan[at.ROW_BLOCKS], plan[at.WHOLE]
        for item in range(first, min(first + plan[at.PER_JOB], plan[at.N_Z] * blocks)):
            z, y = item // blocks, tables[plan[at.ROW_STARTS] + item % blocks]
            rows = min(width, (plan[at.N_Y] - y + plan[at.SPACING] - 1) // plan[at.SPACING])
            x_line = plan[at.X_START] + z * plan[at.X_Z] + y * plan[at.X_Y]
            out_line = plan[at.OUT_START] + z * plan[at.OUT_Z] + y * plan[at.OUT_Y]
            other_line = plan[at.RESIDUAL_START] + z * plan[at.RESIDUAL_Z] + y * plan[at.RESIDUAL_Y]
            for group in range(first_block, min(first_block + plan[at.BLOCKS_A_JOB], plan[at.ALL_BLOCKS])):
                x0 = pointer(x, x_line + group * plan[at.GROUP_INPUTS] * plan[at.X_C])
                out0 = pointer(out, out_line + group * plan[at.OUT_C])
                other0 = pointer(other, other_line + group * plan[at.RESIDUAL_C])
                weights0 = pointer(weights, group * plan[at.GROUP_WEIGHTS])
                table0 = pointer(table, group * at.TABLE_ROWS * width)
                lists = (pointer(tables, 0), pointer(tables, plan[at.RUNS_START]))
                row = (x0, weights0, table0, out0, other0, *lists)
                conv_rows_strip(kind, row, plan, rows, 0, whole)
                conv_rows_strip(tail, row, plan, rows, whole, plan[at.N_X])
                if plan[at.ACTIVATE]:
                    for r in range(rows):
                        activate_row(advance(out0, r * plan[at.ROW_STEP]), plan[at.N_X], plan[at.OUT_X], table0, width)

    return device(rename(conv_rows_job, f"conv_rows_job_{code}_{int(residual)}"))


@register("conv_rows.conv", parallel=True)
def make_conv_rows(real: Any, lanes: int, rows: int, tail_rows: int, step: int, code: int, residual: int = 0) -> Any:
    """Make the kernel of blocks of `rows` vectors of `lanes` voxels along w x ROWS output rows.

    It computes, for every voxel of the plan's box and every group of one output channel, the sum over taps, and in each
    over the group's inputs, in order, of fma(x[voxel + offset], weight, sum), from zero, and then the epilogue. Threads
    take jobs from a counter: a job is PER_JOB blocks of rows of BLOCKS_A_JOB groups. `tables` holds the offsets of all
    loads, the runs of `Sharing`, and each block's first row. The other parameters are those of `make_conv_first`.
    """
    kind, tail = Block(real, lanes, rows, ROWS, step), Block(real, lanes, tail_rows, ROWS, step)
    conv_rows_job = _make_job(real, code, bool(residual))

    def conv(x: Any, weights: Any, table: Any, out: Any, other: Any, tables: Any, plan: Any) -> None:
        for _ in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                conv_rows_job(kind, tail, (x, weights, table, out, other, tables), plan, job)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    return conv, void(reals, reals, reals, flat(real, writable=True), reals, ints, ints)

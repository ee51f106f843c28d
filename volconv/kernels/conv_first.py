"""Convolution with vectors of voxels along w, for layers of few output channels: reads and writes channels first.

A block of w vectors x output channels of sums stays in registers; each product broadcasts one weight a channel and
multiplies it with the block's input vectors.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_lanes
from .residual import add_lanes, make_finish
from .simd import (
    add_columns,
    advance,
    clip_columns,
    columns_of,
    lanes_of,
    next_job,
    pointer,
    prefetch,
    rows_of,
    scale_columns,
    slope_columns,
    spill,
    spread_values,
    store_lanes,
    zeros,
)


@inlined
def scale_channels(kind: Any, sums: Any, table: Any, plan: Any) -> Any:
    """Return the sums with bias, scale and shift.

    In place of its call: a call would pass the sums through memory, some hundred cycles of a block's thousand.
    """
    row = columns_of(kind)
    sums = add_columns(sums, spread_values(kind, advance(table, at.BIAS * row)))
    if plan[at.AFFINE]:
        scale = spread_values(kind, advance(table, at.SCALE * row))
        sums = scale_columns(sums, scale, spread_values(kind, advance(table, at.SHIFT * row)))
    return sums


@inlined
def bound_channels(kind: Any, sums: Any, table: Any, plan: Any) -> Any:
    """Return the sums within the bounds of the activation, or with its slopes."""
    row = columns_of(kind)
    if plan[at.MODE] == at.CLIP:
        low = spread_values(kind, advance(table, at.LOW * row))
        sums = clip_columns(sums, low, spread_values(kind, advance(table, at.HIGH * row)))
    elif plan[at.MODE] == at.SLOPE:
        sums = slope_columns(sums, spread_values(kind, advance(table, at.LOW * row)))
    return sums


@device
def store_spaced(kind: Any, sums: Any, target: Any, step: Any, x_step: Any, columns: Any, count: Any) -> None:
    """Store the first `count` voxels of the first `columns` channels, columns and voxels the steps apart."""
    values = spill(sums)
    lanes = lanes_of(kind)
    for c in range(columns):
        for i in range(min(count, rows_of(kind) * lanes)):
            value = values[((i // lanes) * columns_of(kind) + c) * lanes + i % lanes]
            target[c * step + i * x_step] = value


@inlined
def fetch_lines(kind: Any, row: Any, step: Any, columns: Any) -> None:
    """Ask for the lines of a block of channels `step` apart."""
    for c in range(columns):
        for r in range(rows_of(kind)):
            prefetch(advance(row, c * step + r * lanes_of(kind)))


def _make_row(residual: bool) -> Any:
    """Return the device function that computes part of a row, what is added to it among its arrays if `residual`."""
    finish = make_finish(scale_channels, bound_channels, add_lanes if residual else None)

    def conv_row(kind: Any, row: Any, plan: Any, columns: Any, first: Any, stop: Any) -> None:
        """Compute voxels `first` to `stop` of a row for one output block; `row` holds the addresses of its arrays."""
        x, weights, table, out, other, shifts = row
        hints = advance(shifts, plan[at.HINTS])
        for voxel in range(first, stop, rows_of(kind) * lanes_of(kind)):
            sums = zeros(kind)
            start = advance(x, voxel * plan[at.X_X])
            if plan[at.OUT_X] == 1:
                fetch_lines(kind, advance(out, voxel), plan[at.OUT_C], columns)
            if residual and plan[at.RESIDUAL_X] == 1:
                fetch_lines(kind, advance(other, voxel), plan[at.RESIDUAL_C], columns)
            for k in range(plan[at.PRODUCTS]):
                sums = fma_lanes(sums, advance(start, shifts[k]), plan[at.X_X], advance(weights, k * columns_of(kind)))
                prefetch(advance(start, hints[2 * k]))
                prefetch(advance(start, hints[2 * k + 1]))
            x_step = plan[at.RESIDUAL_X]
            added = (advance(other, voxel * x_step), plan[at.RESIDUAL_C], x_step, columns, stop - voxel)
            sums = finish(kind, sums, table, plan, added)
            target = advance(out, voxel * plan[at.OUT_X])
            if plan[at.OUT_X] == 1:
                store_lanes(sums, target, plan[at.OUT_C], columns, stop - voxel)
            else:
                store_spaced(kind, sums, target, plan[at.OUT_C], plan[at.OUT_X], columns, stop - voxel)

    return device(rename(conv_row, f"conv_row_{int(residual)}"))


def _make_job(real: Any, code: int, residual: bool) -> Any:
    """Return the device function of one job, with activation number `code` after the stores."""
    activate_row, conv_row = make_activate_row(real, code), _make_row(residual)

    def conv_first_job(kind: Any, tail: Any, arrays: Any, plan: Any, job: Any) -> None:
        x, weights, table, out, other, offsets = arrays
        shares = -(-plan[at.ALL_BLOCKS] // plan[at.BLOCKS_A_JOB])
        first = job // shares * plan[at.PER_JOB]
        first_block = job % shares * plan[at.BLOCKS_A_JOB]
        width, products, whole = columns_of(kind), plan[at.PRODUCTS], plan[at.WHOLE]
        for line in range(first, min(first + plan[at.PER_JOB], plan[at.N_Z] * plan[at.N_Y])):
            z, y = line // plan[at.N_Y], line % plan[at.N_Y]
            x_line = plan[at.X_START] + z * plan[at.X_Z] + y * plan[at.X_Y]
            out_line = plan[at.OUT_START] + z * plan[at.OUT_Z] + y * plan[at.OUT_Y]
            other_line = plan[at.RESIDUAL_START] + z * plan[at.RESIDUAL_Z] + y * plan[at.RESIDUAL_Y]
            for block in range(first_block, min(first_block + plan[at.BLOCKS_A_JOB], plan[at.ALL_BLOCKS])):
                group, part = block // plan[at.BLOCKS], block % plan[at.BLOCKS]
                columns = min(width, plan[at.GROUP_OUTPUTS] - part * width)
                x0 = pointer(x, x_line + group * plan[at.GROUP_INPUTS] * plan[at.X_C])
                channel = group * plan[at.GROUP_OUTPUTS] + part * width
                out0 = pointer(out, out_line + channel * plan[at.OUT_C])
                other0 = pointer(other, other_line + channel * plan[at.RESIDUAL_C])
                table0 = pointer(table, block * at.TABLE_ROWS * width)
                row = (x0, pointer(weights, block * products * width), table0, out0, other0, pointer(offsets, 0))
                conv_row(kind, row, plan, columns, 0, whole)
                conv_row(tail, row, plan, columns, whole, plan[at.N_X])
                if plan[at.ACTIVATE]:
                    for c in range(columns):
                        values = advance(out0, c * plan[at.OUT_C])
                        activate_row(values, plan[at.N_X], plan[at.OUT_X], advance(table0, c), width)

    return device(rename(conv_first_job, f"conv_first_job_{code}_{int(residual)}"))


@register("conv_first.conv", parallel=True)
def make_conv_first(
    real: Any, lanes: int, rows: int, tail_rows: int, columns: int, step: int, code: int, residual: int = 0
) -> Any:
    """Make the kernel of blocks of `rows` vectors of `lanes` voxels along w x `columns` output channels.

    It computes, for every voxel of the plan's box and every output channel o, the sum over k = 0, 1, … in this order
    of fma(x[voxel + offsets[k]], weights[k, o], sum), from zero, and then the epilogue. Threads take jobs from a
    counter: a job is PER_JOB rows of BLOCKS_A_JOB output blocks. Rows are cut into blocks of `rows` and, where that
    wastes less, of `tail_rows` vectors; the last is stored under a mask. `step` is the input step along w, 0 for any.
    `code` is that of an activation to apply to what was just stored, or 0: bounds and slopes are applied in registers.
    With `residual`, the values of `other` are added in registers too.
    """
    kind, tail = Block(real, lanes, rows, columns, step), Block(real, lanes, tail_rows, columns, step)
    conv_first_job = _make_job(real, code, bool(residual))

    def conv(x: Any, weights: Any, table: Any, out: Any, other: Any, offsets: Any, plan: Any) -> None:
        for _ in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                conv_first_job(kind, tail, (x, weights, table, out, other, offsets), plan, job)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    return conv, void(reals, reals, reals, flat(real, writable=True), reals, ints, ints)

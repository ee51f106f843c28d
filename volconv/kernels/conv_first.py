"""Convolution with vectors of voxels along w, for layers of few output channels: reads and writes channels first.

A block of w vectors x output channels of sums stays in registers; each product broadcasts one weight a channel and
multiplies it with the block's input vectors.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .jit import device, flat, int64, prange, register, void
from .simd import (
    Block,
    add_columns,
    advance,
    clip_columns,
    columns_of,
    fma_lanes,
    lanes_of,
    next_job,
    pointer,
    rows_of,
    scale_columns,
    slope_columns,
    spill,
    spread_values,
    store_lanes,
    zeros,
)


@device
def finish_channels(kind, sums, table, plan):  # type: ignore[no-untyped-def]
    """Return the sums with bias, scale and shift, and the bounds or slopes of the activation."""
    row = columns_of(kind)
    sums = add_columns(sums, spread_values(kind, advance(table, at.BIAS * row)))
    if plan[at.AFFINE]:
        scale = spread_values(kind, advance(table, at.SCALE * row))
        sums = scale_columns(sums, scale, spread_values(kind, advance(table, at.SHIFT * row)))
    if plan[at.MODE] == at.CLIP:
        low = spread_values(kind, advance(table, at.LOW * row))
        sums = clip_columns(sums, low, spread_values(kind, advance(table, at.HIGH * row)))
    elif plan[at.MODE] == at.SLOPE:
        sums = slope_columns(sums, spread_values(kind, advance(table, at.LOW * row)))
    return sums


@device
def store_spaced(kind, sums, target, plan, columns, count):  # type: ignore[no-untyped-def]
    """Store the first `count` voxels of the first `columns` channels, voxels OUT_X elements apart."""
    values = spill(sums)
    lanes = lanes_of(kind)
    for c in range(columns):
        for i in range(min(count, rows_of(kind) * lanes)):
            value = values[((i // lanes) * columns_of(kind) + c) * lanes + i % lanes]
            target[c * plan[at.OUT_C] + i * plan[at.OUT_X]] = value


@device
def conv_row(kind, x, weights, table, out, offsets, plan, columns, first, stop):  # type: ignore[no-untyped-def]
    """Compute voxels `first` to `stop` of a row that begins at the addresses `x` and `out`, for one output block."""
    step = rows_of(kind) * lanes_of(kind)
    for voxel in range(first, stop, step):
        sums = zeros(kind)
        start, shifts = advance(x, voxel * plan[at.X_X]), pointer(offsets, 0)
        for k in range(plan[at.PRODUCTS]):
            sums = fma_lanes(sums, advance(start, shifts[k]), plan[at.X_X], advance(weights, k * columns_of(kind)))
        sums = finish_channels(kind, sums, table, plan)
        target = advance(out, voxel * plan[at.OUT_X])
        if plan[at.OUT_X] == 1:
            store_lanes(sums, target, plan[at.OUT_C], columns, stop - voxel)
        else:
            store_spaced(kind, sums, target, plan, columns, stop - voxel)


@device
def conv_first_job(kind, tail, x, weights, table, out, offsets, plan, job):  # type: ignore[no-untyped-def]
    """Compute one job: PER_JOB rows of BLOCKS_A_JOB output blocks."""
    shares = -(-plan[at.ALL_BLOCKS] // plan[at.BLOCKS_A_JOB])
    first = job // shares * plan[at.PER_JOB]
    first_block = job % shares * plan[at.BLOCKS_A_JOB]
    width, products = columns_of(kind), plan[at.PRODUCTS]
    step = rows_of(kind) * lanes_of(kind)
    whole = plan[at.N_X] // step * step
    if plan[at.N_X] - whole > step - lanes_of(kind):
        whole = plan[at.N_X]
    for row in range(first, min(first + plan[at.PER_JOB], plan[at.N_Z] * plan[at.N_Y])):
        z, y = row // plan[at.N_Y], row % plan[at.N_Y]
        for block in range(first_block, min(first_block + plan[at.BLOCKS_A_JOB], plan[at.ALL_BLOCKS])):
            group, part = block // plan[at.BLOCKS], block % plan[at.BLOCKS]
            inputs = group * plan[at.GROUP_INPUTS] * plan[at.X_C] + z * plan[at.X_Z] + y * plan[at.X_Y]
            channel = group * plan[at.GROUP_OUTPUTS] + part * width
            outputs = channel * plan[at.OUT_C] + z * plan[at.OUT_Z] + y * plan[at.OUT_Y]
            x0, out0 = pointer(x, plan[at.X_START] + inputs), pointer(out, plan[at.OUT_START] + outputs)
            weights0 = pointer(weights, block * products * width)
            table0 = pointer(table, block * at.TABLE_ROWS * width)
            columns = min(width, plan[at.GROUP_OUTPUTS] - part * width)
            conv_row(kind, x0, weights0, table0, out0, offsets, plan, columns, 0, whole)
            conv_row(tail, x0, weights0, table0, out0, offsets, plan, columns, whole, plan[at.N_X])


@register("conv_first.conv", parallel=True)
def make_conv_first(real: Any, lanes: int, rows: int, columns: int, step: int) -> Any:
    """Make the kernel of blocks of `rows` vectors of `lanes` voxels along w x `columns` output channels.

    It computes, for every voxel of the plan's box and every output channel o, the sum over k = 0, 1, … in this order of
    fma(x[voxel + shifts[k]], weights[k, o], sum), from zero, and then the epilogue. Threads take jobs from a counter.
    The end of a row, where less than a block is left, is computed one vector at a time and stored under a mask.
    """
    kind, tail = Block(real, lanes, rows, columns, step), Block(real, lanes, 1, columns, step)

    def conv(x, weights, table, out, offsets, plan):  # type: ignore[no-untyped-def]
        for _ in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                conv_first_job(kind, tail, x, weights, table, out, offsets, plan, job)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    return conv, void(reals, reals, reals, flat(real, writable=True), ints, ints)

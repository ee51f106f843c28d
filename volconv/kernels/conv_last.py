"""Convolution with vectors of output channels, for layers of many channels: reads any layout, writes channels last.

A block of voxels x channel vectors of sums stays in registers; each product broadcasts one input value a voxel and
multiplies it with a column of packed weights. Voxels of a block may lie in several rows, so no row end is wasted.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_voxels
from .residual import add_voxels, make_finish
from .simd import (
    add_columns,
    advance,
    clip_columns,
    columns_of,
    lanes_of,
    load_vectors,
    load_voxels,
    make_places,
    next_job,
    pointer,
    prefetch,
    rows_of,
    scale_columns,
    slope_columns,
    store_voxels,
    zeros,
)

_AHEAD = 12
"""Products between asking for weights and using them: some hundred cycles, what the L2 cache takes and more."""


@device
def find_voxel(number: Any, plan: Any) -> Any:
    """Return z, y, x of a voxel of the box: divisions take as long as a small block, so each job does them once."""
    row = number // plan[at.N_X]
    return row // plan[at.N_Y], row % plan[at.N_Y], number % plan[at.N_X]


@inlined
def next_row(z: Any, y: Any, plan: Any) -> Any:
    """Return z, y, x of the first voxel of the row behind row (z, y)."""
    if y + 1 == plan[at.N_Y]:
        return z + 1, 0, 0
    return z, y + 1, 0


@inlined
def place_voxels(kind: Any, inputs: Any, outputs: Any, place: Any, left: Any, plan: Any) -> Any:
    """Write where a block's voxels are read and written, and return z, y, x of the voxel behind them.

    They are the voxels from `place` (z, y, x) on; the last of the `left` ones again where these are fewer.
    """
    z, y, x = place
    source = z * plan[at.X_Z] + y * plan[at.X_Y] + x * plan[at.X_X]
    target = z * plan[at.OUT_Z] + y * plan[at.OUT_Y] + x * plan[at.OUT_X]
    if x + rows_of(kind) <= plan[at.N_X] and rows_of(kind) <= left:
        for row in range(rows_of(kind)):
            inputs[row] = source + row * plan[at.X_X]
            outputs[row] = target + row * plan[at.OUT_X]
        x += rows_of(kind)
        if x == plan[at.N_X]:
            return next_row(z, y, plan)
        return z, y, x
    for row in range(rows_of(kind)):
        inputs[row] = z * plan[at.X_Z] + y * plan[at.X_Y] + x * plan[at.X_X]
        outputs[row] = z * plan[at.OUT_Z] + y * plan[at.OUT_Y] + x * plan[at.OUT_X]
        if row + 1 < left:
            x += 1
            if x == plan[at.N_X]:
                z, y, x = next_row(z, y, plan)
    return z, y, x


@inlined
def place_residual(kind: Any, places: Any, place: Any, left: Any, plan: Any) -> None:
    """Write where the residual of a block's voxels lies; the other parameters are those of `place_voxels`."""
    z, y, x = place
    if x + rows_of(kind) <= plan[at.N_X] and rows_of(kind) <= left:
        start = z * plan[at.RESIDUAL_Z] + y * plan[at.RESIDUAL_Y] + x * plan[at.RESIDUAL_X]
        for row in range(rows_of(kind)):
            places[row] = start + row * plan[at.RESIDUAL_X]
    else:
        for row in range(rows_of(kind)):
            places[row] = z * plan[at.RESIDUAL_Z] + y * plan[at.RESIDUAL_Y] + x * plan[at.RESIDUAL_X]
            if row + 1 < left:
                x += 1
                if x == plan[at.N_X]:
                    z, y, x = next_row(z, y, plan)


@inlined
def scale_vectors(kind: Any, sums: Any, table: Any, plan: Any) -> Any:
    """Return the sums with bias, scale and shift."""
    row = columns_of(kind) * lanes_of(kind)
    sums = add_columns(sums, load_vectors(kind, advance(table, at.BIAS * row)))
    if plan[at.AFFINE]:
        scale = load_vectors(kind, advance(table, at.SCALE * row))
        sums = scale_columns(sums, scale, load_vectors(kind, advance(table, at.SHIFT * row)))
    return sums


@inlined
def bound_vectors(kind: Any, sums: Any, table: Any, plan: Any) -> Any:
    """Return the sums within the bounds of the activation, or with its slopes."""
    row = columns_of(kind) * lanes_of(kind)
    if plan[at.MODE] == at.CLIP:
        low = load_vectors(kind, advance(table, at.LOW * row))
        sums = clip_columns(sums, low, load_vectors(kind, advance(table, at.HIGH * row)))
    elif plan[at.MODE] == at.SLOPE:
        sums = slope_columns(sums, load_vectors(kind, advance(table, at.LOW * row)))
    return sums


@inlined
def fetch_voxels(kind: Any, values: Any, places: Any) -> None:
    """Ask for the lines of a block's voxels."""
    for row in range(rows_of(kind)):
        for c in range(columns_of(kind)):
            prefetch(advance(values, places[row] + c * lanes_of(kind)))


@inlined
def fetch_ahead(kind: Any, x: Any, inputs: Any, out: Any, outputs: Any, plan: Any) -> None:
    """Ask for the lines a block will write, and for inputs of a block further on.

    Stores past the caches would spare fetching what is overwritten, but a block's worth of them at once holds up the
    next block's loads: large outputs of few products took up to 1.4 times as long.
    """
    fetch_voxels(kind, out, outputs)
    if plan[at.AHEAD_LINES] > 0:
        for row in range(rows_of(kind)):
            for i in range(plan[at.AHEAD_LINES]):
                prefetch(advance(x, inputs[row] + plan[at.AHEAD] + i * plan[at.LINE]))


def _make_job(real: Any, code: int, residual: bool) -> Any:
    """Return the device function of one job, with activation number `code` after the stores."""
    activate_row = make_activate_row(real, code)
    finish = make_finish(scale_vectors, bound_vectors, add_voxels if residual else None)

    def conv_last_job(kind: Any, arrays: Any, plan: Any, job: Any) -> None:
        x, weights, table, out, other, offsets = arrays
        block = job % plan[at.ALL_BLOCKS]
        first = job // plan[at.ALL_BLOCKS] * plan[at.PER_JOB]
        stop = min(first + plan[at.PER_JOB], plan[at.N_Z] * plan[at.N_Y] * plan[at.N_X])
        group, part = block // plan[at.BLOCKS], block % plan[at.BLOCKS]
        width = columns_of(kind) * lanes_of(kind)
        products, split = plan[at.PRODUCTS], plan[at.SPLIT]
        columns = min(columns_of(kind), plan[at.GROUP_OUTPUTS] // lanes_of(kind) - part * columns_of(kind))
        x0 = pointer(x, plan[at.X_START] + group * plan[at.GROUP_INPUTS] * plan[at.X_C])
        channel = group * plan[at.GROUP_OUTPUTS] + part * width
        out0, other0 = pointer(out, plan[at.OUT_START] + channel), pointer(other, plan[at.RESIDUAL_START] + channel)
        weights0, table0 = pointer(weights, block * products * width), pointer(table, block * at.TABLE_ROWS * width)
        shifts = pointer(offsets, 0)
        inputs, outputs, others = make_places(kind), make_places(kind), make_places(kind)
        for start in range(0, max(products, 1), split):  # no taps at all: a phase of a transposed convolution
            end = min(start + split, products)
            place = find_voxel(first, plan)
            for voxel in range(first, stop, rows_of(kind)):
                if residual:
                    place_residual(kind, others, place, stop - voxel, plan)
                    fetch_voxels(kind, other0, others)
                place = place_voxels(kind, inputs, outputs, place, stop - voxel, plan)
                sums = zeros(kind)
                fetch_ahead(kind, x0, inputs, out0, outputs, plan)
                if start > 0:
                    sums = load_voxels(kind, out0, outputs, columns)
                for k in range(start, end):
                    sums = fma_voxels(sums, advance(x0, shifts[k]), inputs, advance(weights0, k * width))
                    for c in range(columns_of(kind)):
                        prefetch(advance(weights0, (k + _AHEAD) * width + c * lanes_of(kind)))
                if end == products:
                    sums = finish(kind, sums, table0, plan, (other0, others, columns))
                store_voxels(sums, out0, outputs, columns)
                if end == products and plan[at.ACTIVATE]:
                    for row in range(min(rows_of(kind), stop - voxel)):
                        activate_row(advance(out0, outputs[row]), columns * lanes_of(kind), 1, table0, width)

    return device(rename(conv_last_job, f"conv_last_job_{code}_{int(residual)}"))


@register("conv_last.conv", parallel=True)
def make_conv_last(real: Any, lanes: int, rows: int, columns: int, code: int, residual: int = 0) -> Any:
    """Make the kernel of blocks of `rows` voxels x `columns` vectors of `lanes` output channels.

    It computes, for every voxel of the plan's box and every output channel o, the sum over k = 0, 1, … in this order
    of fma(x[voxel + offsets[k]], weights[k, o], sum), from zero, and then the epilogue. Threads take jobs from a
    counter: a job is PER_JOB voxels of one output block. Where weights outgrow the cache, SPLIT products are taken at
    a time for all voxels of a job, with the sums so far kept in `out` (of the same type, so nothing is rounded).
    `code` is that of an activation to apply to what was just stored, or 0: bounds and slopes are applied in registers.
    With `residual`, the values of `other` are added in registers too.
    """
    kind = Block(real, lanes, rows, columns)
    conv_last_job = _make_job(real, code, bool(residual))

    def conv(x: Any, weights: Any, table: Any, out: Any, other: Any, offsets: Any, plan: Any) -> None:
        for _ in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                conv_last_job(kind, (x, weights, table, out, other, offsets), plan, job)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    return conv, void(reals, reals, reals, flat(real, writable=True), reals, ints, ints)

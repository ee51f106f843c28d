"""Convolution of each channel by itself, with vectors of channels: reads and writes channels last.

A block of voxels x channel vectors of sums stays in registers; each product multiplies a voxel's inputs with a column
of weights, and neighbours along w share the inputs they load. Jobs are bands of rows through many planes, gone through
in strips of one block along w, so that planes come from the second cache and rows from the first when read again.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .conv_last import bound_vectors, fetch_ahead, fetch_voxels, place_residual, place_voxels, scale_vectors
from .jit import device, flat, int64, prange, register, void
from .products import SLID, fma_channels, fma_slid
from .residual import add_voxels, make_finish
from .simd import (
    advance,
    columns_of,
    lanes_of,
    make_places,
    next_job,
    pointer,
    rows_of,
    store_voxels,
    zeros,
)


def _make_job(real: Any, code: int, residual: bool) -> Any:
    """Return the device function of one job, with activation number `code` after the stores."""
    activate_row = make_activate_row(real, code)
    finish = make_finish(scale_vectors, bound_vectors, add_voxels if residual else None)

    def conv_depthwise_job(kind: Any, arrays: Any, plan: Any, job: Any) -> None:
        x, weights, table, out, other, offsets = arrays
        block, share = job % plan[at.ALL_BLOCKS], job // plan[at.ALL_BLOCKS]
        bands = -(-plan[at.N_Y] // plan[at.BAND])
        y0, z0 = share % bands * plan[at.BAND], share // bands * plan[at.PER_JOB]
        y1 = min(y0 + plan[at.BAND], plan[at.N_Y])
        width = columns_of(kind) * lanes_of(kind)
        products = plan[at.PRODUCTS]
        columns = min(columns_of(kind), plan[at.GROUP_OUTPUTS] // lanes_of(kind) - block * columns_of(kind))
        x0, out0 = pointer(x, plan[at.X_START] + block * width), pointer(out, plan[at.OUT_START] + block * width)
        other0 = pointer(other, plan[at.RESIDUAL_START] + block * width)
        weights0, table0 = pointer(weights, block * products * width), pointer(table, block * at.TABLE_ROWS * width)
        shifts, slid = pointer(offsets, 0), pointer(offsets, products)
        inputs, outputs, others = make_places(kind), make_places(kind), make_places(kind)
        for z in range(z0, min(z0 + plan[at.PER_JOB], plan[at.N_Z])):
            for voxel in range(0, plan[at.N_X], rows_of(kind)):
                left = plan[at.N_X] - voxel
                for y in range(y0, y1):
                    place_voxels(kind, inputs, outputs, (z, y, voxel), left, plan)
                    if residual:
                        place_residual(kind, others, (z, y, voxel), left, plan)
                        fetch_voxels(kind, other0, others)
                    fetch_ahead(kind, x0, inputs, out0, outputs, plan)
                    sums = zeros(kind)
                    k = 0
                    while k < products:
                        x1, weights1 = advance(x0, shifts[k]), advance(weights0, k * width)
                        if slid[k] and left >= rows_of(kind):
                            sums = fma_slid(sums, advance(x1, inputs[0]), plan[at.X_X], weights1)
                            k += SLID
                        else:
                            sums = fma_channels(sums, x1, inputs, weights1)
                            k += 1
                    sums = finish(kind, sums, table0, plan, (other0, others, columns))
                    store_voxels(sums, out0, outputs, columns)
                    if plan[at.ACTIVATE]:
                        for row in range(min(rows_of(kind), left)):
                            activate_row(advance(out0, outputs[row]), columns * lanes_of(kind), 1, table0, width)

    return device(rename(conv_depthwise_job, f"conv_depthwise_job_{code}_{int(residual)}"))


@register("conv_depthwise.conv", parallel=True)
def make_conv_depthwise(real: Any, lanes: int, rows: int, columns: int, code: int, residual: int = 0) -> Any:
    """Make the kernel of blocks of `rows` voxels x `columns` vectors of `lanes` channels.

    It computes, for every voxel of the plan's box and every channel c, the sum over k = 0, 1, … in this order of
    fma(x[voxel + offsets[k], c], weights[k, c], sum), from zero, and then the epilogue. Threads take jobs from a
    counter: a job is a band of BAND rows in PER_JOB planes of one block of channels. Behind the offsets lies for each
    tap whether `SLID` of them begin there that are neighbours along w. `code` is that of an activation to apply to what
    was just stored, or 0: bounds and slopes are applied in registers. With `residual`, the values of `other` are added
    in registers too.
    """
    kind = Block(real, lanes, rows, columns)
    conv_depthwise_job = _make_job(real, code, bool(residual))

    def conv(x: Any, weights: Any, table: Any, out: Any, other: Any, offsets: Any, plan: Any) -> None:
        for _ in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                conv_depthwise_job(kind, (x, weights, table, out, other, offsets), plan, job)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    return conv, void(reals, reals, reals, flat(real, writable=True), reals, ints, ints)

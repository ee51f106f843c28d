"""All phases of a transposed convolution at once, with vectors of output channels: any layout in, channels last out.

Each phase of outputs is an ordinary convolution of the same inputs. A job goes through all of them for a few rows of
inputs, so inputs and outputs come once from memory; phases that read the same inputs share a block of sums.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .conv_last import bound_vectors, find_voxel, place_residual, place_voxels, scale_vectors
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_voxels
from .residual import add_phases, make_finish
from .simd import (
    advance,
    columns_of,
    lanes_of,
    make_places,
    next_job,
    pointer,
    prefetch,
    rows_of,
    store_columns,
    zeros,
)

_AHEAD = 12
"""Products between asking for weights and using them: some hundred cycles, what the L2 cache takes and more."""
PRODUCTS, SHIFTS, WEIGHTS, TABLE, INPUTS, COLUMNS = range(6)
"""A block's record: its products; where its offsets, weights, table and group's inputs lie; then where each column of
its sums is written, -1 for nowhere; then where its residual lies, for columns written nowhere that of another."""


@inlined
def fetch_columns(kind: Any, values: Any, places: Any, columns: Any) -> None:
    """Ask for the lines of a block's columns."""
    for c in range(columns_of(kind)):
        for row in range(rows_of(kind)):
            prefetch(advance(values, places[row] + columns[c]))


@inlined
def fetch_far(kind: Any, x: Any, inputs: Any, out: Any, outputs: Any, columns: Any, plan: Any) -> None:
    """Ask for the lines a block will write, and for inputs of a block further on."""
    fetch_columns(kind, out, outputs, columns)
    for i in range(plan[at.AHEAD_LINES]):
        for row in range(rows_of(kind)):
            prefetch(advance(x, inputs[row] + plan[at.AHEAD] + i * plan[at.LINE]))


def _make_job(real: Any, code: int, residual: bool) -> Any:
    """Return the device function of one job, with activation number `code` after the stores."""
    activate_row = make_activate_row(real, code)
    finish = make_finish(scale_vectors, bound_vectors, add_phases if residual else None)

    def conv_phases_job(kind: Any, arrays: Any, plan: Any, job: Any) -> None:
        x, weights, table, out, other, tables = arrays
        first = job * plan[at.PER_JOB]
        stop = min(first + plan[at.PER_JOB], plan[at.N_Z] * plan[at.N_Y] * plan[at.N_X])
        width = columns_of(kind) * lanes_of(kind)
        inputs, outputs, others = make_places(kind), make_places(kind), make_places(kind)
        out0, other0 = pointer(out, plan[at.OUT_START]), pointer(other, plan[at.RESIDUAL_START])
        for block in range(plan[at.BLOCKS]):
            record = pointer(tables, plan[at.RECORDS] + block * (COLUMNS + 2 * columns_of(kind)))
            columns, shifts = advance(record, COLUMNS), pointer(tables, record[SHIFTS])
            added = advance(columns, columns_of(kind))
            x0 = pointer(x, plan[at.X_START] + record[INPUTS])
            weights0, table0 = pointer(weights, record[WEIGHTS]), pointer(table, record[TABLE])
            place = find_voxel(first, plan)
            for voxel in range(first, stop, rows_of(kind)):
                if residual:
                    place_residual(kind, others, place, stop - voxel, plan)
                    fetch_columns(kind, other0, others, added)
                place = place_voxels(kind, inputs, outputs, place, stop - voxel, plan)
                fetch_far(kind, x0, inputs, out0, outputs, columns, plan)
                sums = zeros(kind)
                for k in range(record[PRODUCTS]):
                    sums = fma_voxels(sums, advance(x0, shifts[k]), inputs, advance(weights0, k * width))
                    for c in range(columns_of(kind)):
                        prefetch(advance(weights0, (k + _AHEAD) * width + c * lanes_of(kind)))
                sums = finish(kind, sums, table0, plan, (other0, others, added))
                store_columns(sums, out0, outputs, columns)
                if plan[at.ACTIVATE]:
                    for row in range(min(rows_of(kind), stop - voxel)):
                        for c in range(columns_of(kind)):
                            if columns[c] >= 0:
                                activate_row(advance(out0, outputs[row] + columns[c]), lanes_of(kind), 1, table0, width)

    return device(rename(conv_phases_job, f"conv_phases_job_{code}_{int(residual)}"))


@register("conv_phases.conv", parallel=True)
def make_conv_phases(real: Any, lanes: int, rows: int, columns: int, code: int, residual: int = 0) -> Any:
    """Make the kernel of blocks of `rows` input voxels x `columns` vectors of `lanes` output channels.

    For every input voxel of the plan's box it computes the outputs of each record's columns, each the sum over
    k = 0, 1, … in this order of fma(x[voxel + offsets[k]], weights[k, o], sum), from zero, and then the epilogue.
    Threads take jobs from a counter: a job is PER_JOB input voxels with all their outputs. `code` is that of an
    activation to apply to what was just stored, or 0: bounds and slopes are applied in registers. With `residual`, the
    values of `other` are added in registers too.
    """
    kind = Block(real, lanes, rows, columns)
    conv_phases_job = _make_job(real, code, bool(residual))

    def conv(x: Any, weights: Any, table: Any, out: Any, other: Any, tables: Any, plan: Any) -> None:
        for _ in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                conv_phases_job(kind, (x, weights, table, out, other, tables), plan, job)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    return conv, void(reals, reals, reals, flat(real, writable=True), reals, ints, ints)

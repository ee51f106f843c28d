"""Winograd's F(2, 3) along d, direct along h and w, for few channels: reads and writes channels first.

Two output rows, one behind the other along d, share their products: 4 times the taps of a plane where the direct sums
take 6 times. Vectors run along w, so few channels waste nothing. A job walks along h: each input row is transformed
once (four rows along d become four) and kept for all taps that read it. Which rows form a pair follows from their place
in the whole volume, so results do not depend on the cut.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .conv_first import bound_channels, scale_channels
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_lanes
from .residual import add_rows, make_finish
from .simd import advance, columns_of, lanes_of, make_places, next_job, pointer, prefetch_far, rows_of, zeros
from .winograd_blocks import (
    all_finite,
    fma_blocks,
    load_four,
    load_grid,
    load_spread,
    mark_not_finite,
    replace_not_finite,
    store_columns,
    store_rows,
    store_spread,
    transform_columns,
    transform_pair,
)


@inlined
def _ring_row(ring: Any, row: Any, plan: Any) -> Any:
    """Return where the transformed input row number `row` is kept."""
    return advance(ring, row % plan[at.RING] * plan[at.VALUES_STEP])


@device
def gather_row(kind: Any, x: Any, z: Any, length: Any, values: Any, plan: Any) -> None:
    """Transform `length` voxels of four rows of every channel into `values`: (point, channel, voxel)."""
    z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
    step, channel, row = plan[at.POINT_STEP], plan[at.X_C], plan[at.LENGTH_W]
    for c in range(plan[at.GROUP_INPUTS]):
        source, target = advance(x, c * channel), advance(values, c * row)
        for first in range(0, length, lanes_of(kind)):
            rows = load_four(kind, advance(source, first), z0, z1, z2, z3)
            store_spread(transform_columns(rows), advance(target, first), step)


@inlined
def sum_products(kind: Any, sums: Any, row: Any, first: Any, stop: Any) -> Any:
    """Add the products `first` to `stop` of one point to the sums of a block."""
    values, weights, shifts = row
    for k in range(first, stop):
        sums = fma_lanes(sums, advance(values, shifts[k]), 1, advance(weights, k * columns_of(kind)))
    return sums


@inlined
def sum_and_fetch(kind: Any, sums: Any, row: Any, first: Any, stop: Any, soon: Any, lines: Any) -> Any:
    """Do `sum_products`, and beside each product ask for one of the `lines` behind `soon`."""
    values, weights, shifts = row
    for k in range(first, stop):
        sums = fma_lanes(sums, advance(values, shifts[k]), 1, advance(weights, k * columns_of(kind)))
        prefetch_far(advance(soon, lines[k - first]))
    return sums


@device
def multiply_block(kind: Any, ring: Any, weights: Any, lists: Any, products: Any, soon: Any, plan: Any) -> None:
    """Sum the four points' products of a block of voxels x channels: (point, output channel, voxel).

    Beside a product a line is asked for that the next row reads, or that this row writes: neither the processor's own
    prefetching nor its store buffer follows so many rows. Each point takes one of the four input rows and half of one
    of the two output rows. `soon` holds where they begin.
    """
    width = columns_of(kind)
    count = plan[at.PRODUCTS]
    shifts, hints = lists
    z, inputs, outputs = soon
    reads, writes = plan[at.READ_LINES], plan[at.WRITE_LINES]
    for point in range(4):
        row = (advance(ring, point * plan[at.POINT_STEP]), advance(weights, point * count * width), shifts)
        written = advance(hints, reads + point % 2 * writes)
        sums = sum_and_fetch(kind, zeros(kind), row, 0, reads, advance(inputs, z[point]), hints)
        place = advance(outputs, max(0, z[4 + point // 2]))
        sums = sum_and_fetch(kind, sums, row, reads, reads + writes, place, written)
        sums = sum_products(kind, sums, row, reads + writes, count)
        store_columns(sums, advance(products, point * plan[at.PRODUCTS_STEP]), plan[at.SEGMENT])


@device
def list_shifts(shifts: Any, offsets: Any, y: Any, plan: Any) -> None:
    """Write where each product of row `y` finds its transformed inputs in the ring: tap along h, along w, channel."""
    row, n = y % plan[at.RING], 0
    each = plan[at.PRODUCTS] // plan[at.TAPS_H]
    for _ in range(plan[at.TAPS_H]):
        for k in range(each):
            shifts[n] = row * plan[at.VALUES_STEP] + offsets[k]
            n += 1
        row += plan[at.TAP_STEP_H]
        if row >= plan[at.RING]:
            row -= plan[at.RING]


@device
def sum_pair_directly(kind: Any, x: Any, z: Any, weights: Any, plan: Any) -> Any:
    """Return the direct sums of a vector of the two output rows of one channel; `x` is their first tap's row."""
    sums, here, rows = zeros(kind), make_places(kind), make_places(kind)
    here[0] = 0
    taps = plan[at.PRODUCTS] // (plan[at.GROUP_INPUTS] * plan[at.TAPS_H])
    for d in range(3):
        rows[0], rows[1] = z[d], z[1 + d]
        for h in range(plan[at.TAPS_H]):
            for w in range(taps):
                for c in range(plan[at.GROUP_INPUTS]):
                    shift = c * plan[at.X_C] + h * plan[at.TAP_STEP_H] * plan[at.X_Y] + w * plan[at.TAP_STEP]
                    factor = advance(weights, ((d * plan[at.TAPS_H] + h) * taps + w) * plan[at.GROUP_INPUTS] + c)
                    sums = fma_blocks(sums, load_grid(kind, advance(x, shift), rows, here), factor)
    return sums


def _make_scatter(real: Any, code: int, residual: bool) -> Any:
    """Return the device function that stores a pair of rows, with activation number `code` after the stores."""
    activate_row = make_activate_row(real, code)
    finish = make_finish(scale_channels, bound_channels, add_rows if residual else None)

    def scatter_row(kinds: Any, ends: Any, products: Any, target: Any, plan: Any) -> Any:
        """Store a pair of rows with the epilogue; return whether all sums were finite."""
        four, pair = kinds
        out, places, other, others, count = target
        seen = zeros(pair)
        for c in range(plan[at.GROUP_OUTPUTS]):
            table = advance(ends, c * at.TABLE_ROWS)
            for i in range(0, count, lanes_of(pair)):
                source = advance(products, c * plan[at.SEGMENT] + i)
                sums = transform_pair(load_spread(four, source, plan[at.PRODUCTS_STEP]))
                seen = mark_not_finite(seen, sums)
                added = (advance(other, c * plan[at.RESIDUAL_C] + i), others, count - i)
                sums = finish(pair, sums, table, plan, added)
                store_rows(sums, advance(out, c * plan[at.OUT_C] + i), places, count - i)
            if plan[at.ACTIVATE]:
                for r in range(2):
                    if places[r] >= 0:
                        activate_row(advance(out, places[r] + c * plan[at.OUT_C]), count, 1, table, 1)
        return all_finite(seen)

    return device(rename(scatter_row, f"scatter_row_{code}_{int(residual)}"))


def _make_mend(real: Any, code: int, residual: bool) -> Any:
    """Return the device function that stores a pair of rows again, sums that are not finite taken directly."""
    activate_row = make_activate_row(real, code)
    finish = make_finish(scale_channels, bound_channels, add_rows if residual else None)

    def mend_row(kinds: Any, x: Any, z: Any, ends: Any, direct: Any, products: Any, target: Any, plan: Any) -> None:
        four, pair = kinds
        out, places, other, others, count = target
        for c in range(plan[at.GROUP_OUTPUTS]):
            table, weights = advance(ends, c * at.TABLE_ROWS), advance(direct, c * plan[at.DIRECT_STEP])
            for i in range(0, count, lanes_of(pair)):
                source = advance(products, c * plan[at.SEGMENT] + i)
                sums = transform_pair(load_spread(four, source, plan[at.PRODUCTS_STEP]))
                if not all_finite(sums):
                    sums = replace_not_finite(sums, sum_pair_directly(pair, advance(x, i), z, weights, plan))
                added = (advance(other, c * plan[at.RESIDUAL_C] + i), others, count - i)
                sums = finish(pair, sums, table, plan, added)
                store_rows(sums, advance(out, c * plan[at.OUT_C] + i), places, count - i)
            if plan[at.ACTIVATE]:
                for r in range(2):
                    if places[r] >= 0:
                        activate_row(advance(out, places[r] + c * plan[at.OUT_C]), count, 1, table, 1)

    return device(rename(mend_row, f"mend_row_{code}_{int(residual)}"))


@register("conv_pairs.conv", parallel=True)
def make_conv_pairs(
    real: Any, lanes: int, rows: int, tail_rows: int, columns: int, code: int, residual: int = 0
) -> Any:
    """Make the kernel whose products go in blocks of `rows` vectors of voxels x `columns` output channels.

    Products are summed over taps along h, then w, then over input channels, in rising order, from zero, by fused
    multiply-adds; a sum that is not finite (infinities may cancel on the way) is taken again directly. Threads take
    jobs from a counter: a job is ROWS_A_JOB pairs of rows, or a segment of them where rows are long; thread i uses part
    i of `scratch`. Segments are cut into blocks of `rows` and, where that wastes less, of `tail_rows` vectors. `code`
    is that of an activation to apply to what was just stored, or 0: bounds and slopes are applied in registers. With
    `residual`, the values of `other` are added in registers too.
    """
    kind, tail = Block(real, lanes, rows, columns), Block(real, lanes, tail_rows, columns)
    four, pair = Block(real, lanes, 4, 1), Block(real, lanes, 2, 1)
    adds = bool(residual)
    scatter_row, mend_row = _make_scatter(real, code, adds), _make_mend(real, code, adds)

    def pairs_row(arrays: Any, z: Any, lists: Any, y: Any, span: Any, places: Any, plan: Any) -> None:
        """Compute row `y` of a pair of planes from transformed rows: voxels of a segment, `whole` in full blocks."""
        x, weights, direct, table, out, other, ring, products = arrays
        first, whole, count = span
        target = advance(out, y * plan[at.OUT_Y] + first)
        following = advance(x, (y + plan[at.RING]) * plan[at.X_Y] + first)
        for part in range(plan[at.BLOCKS]):
            filters = advance(weights, part * plan[at.WEIGHTS_STEP])
            goal = advance(products, part * columns_of(kind) * plan[at.SEGMENT])
            outputs = advance(target, part * columns_of(kind) * plan[at.OUT_C])
            for voxel in range(0, whole, rows_of(kind) * lanes):
                soon = (z, advance(following, voxel), advance(outputs, voxel))
                multiply_block(kind, advance(ring, voxel), filters, lists, advance(goal, voxel), soon, plan)
            for voxel in range(whole, count, rows_of(tail) * lanes):
                soon = (z, advance(following, voxel), advance(outputs, voxel))
                multiply_block(tail, advance(ring, voxel), filters, lists, advance(goal, voxel), soon, plan)
        outs, others = places
        goal = (target, outs, advance(other, y * plan[at.RESIDUAL_Y] + first), others, count)
        if not scatter_row((four, pair), table, products, goal, plan):
            source = advance(x, y * plan[at.X_Y] + first + plan[at.BEFORE])
            mend_row((four, pair), source, z, table, direct, products, goal, plan)

    pairs_row = device(rename(pairs_row, f"pairs_row_{code}_{int(residual)}"))

    def pairs_job(arrays: Any, tables: Any, plan: Any, job: Any, slot: Any) -> None:
        x, _, _, _, _, _, ring, _ = arrays
        shifts = advance(tables, plan[at.ROOM] + slot * plan[at.PRODUCTS])
        segment = advance(tables, plan[at.SEGMENTS_START] + 3 * (job % plan[at.SEGMENTS]))
        span = (segment[0], segment[1], segment[2])
        line = job // plan[at.SEGMENTS]
        number = line // plan[at.ROW_PARTS]
        z = advance(tables, 6 * number)
        y0 = line % plan[at.ROW_PARTS] * plan[at.PER_JOB]
        places, others = make_places(pair), make_places(pair)
        places[0], places[1] = z[4], z[5]
        if residual:
            added = advance(tables, plan[at.RESIDUAL_TABLES] + 2 * number)
            others[0], others[1] = added[0], added[1]
        length = span[2] + plan[at.HALO]
        x0 = advance(x, span[0])
        for row in range(y0, y0 + plan[at.RING] - 1):
            gather_row(four, advance(x0, row * plan[at.X_Y]), z, length, _ring_row(ring, row, plan), plan)
        for y in range(y0, min(y0 + plan[at.PER_JOB], plan[at.N_Y])):
            row = y + plan[at.RING] - 1
            gather_row(four, advance(x0, row * plan[at.X_Y]), z, length, _ring_row(ring, row, plan), plan)
            list_shifts(shifts, advance(tables, plan[at.SHIFTS]), y, plan)
            pairs_row(arrays, z, (shifts, advance(tables, plan[at.HINTS])), y, span, (places, others), plan)

    pairs_job = device(rename(pairs_job, f"pairs_job_{code}_{int(residual)}"))

    def conv(
        x: Any, weights: Any, direct: Any, table: Any, out: Any, other: Any, tables: Any, scratch: Any, plan: Any
    ) -> None:
        for slot in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            ring = pointer(scratch, slot * plan[at.SLOT])
            arrays = (
                pointer(x, plan[at.X_START]), pointer(weights, 0), pointer(direct, 0), pointer(table, 0),
                pointer(out, plan[at.OUT_START]), pointer(other, plan[at.RESIDUAL_START]),
                ring, advance(ring, plan[at.RING] * plan[at.VALUES_STEP]),
            )  # fmt: skip
            job = next_job(counter)
            while job < plan[at.JOBS]:
                pairs_job(arrays, pointer(tables, 0), plan, job, slot)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    written = flat(real, writable=True)
    return conv, void(reals, reals, reals, reals, written, reals, ints, written, ints)

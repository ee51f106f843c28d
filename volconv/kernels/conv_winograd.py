"""Winograd's F(2x2x2, 3x3x3) for dense layers of many channels: reads and writes channels last.

Pairs of outputs along each axis share their products: 64 multiplications where the direct sum takes 216. A strip of
tiles is transformed into 64 small matrices (tiles x input channels), each is multiplied with one of 64 matrices of
weights, and the products are transformed into 2 x 2 x 2 outputs a tile. Which outputs form a tile follows from their
place in the whole volume, and each depends on its own window alone, so results do not depend on the cut.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .conv_last import finish_vectors
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_voxels
from .simd import advance, columns_of, lanes_of, make_places, next_job, pointer, prefetch, rows_of, zeros
from .winograd_blocks import (
    add_blocks,
    all_finite,
    fma_spread,
    load_grid,
    load_spread,
    mark_not_finite,
    replace_not_finite,
    store_block,
    store_inside,
    store_spread,
    subtract_blocks,
    transform_inputs,
    transform_products,
)

_AHEAD = 16
"""Input channels between asking for weights and using them: some hundred cycles, what the L2 cache takes and more."""
POINTS = 64
"""Products of a tile for each pair of channels: 4 along each axis."""


@inlined
def find_tile(tile: Any, tables: Any, plan: Any) -> Any:
    """Return the tables of offsets (four inputs and two outputs an axis) of tile number `tile` of the box."""
    x = tile % plan[at.TILES_X]
    y = tile // plan[at.TILES_X] % plan[at.TILES_Y]
    z = tile // (plan[at.TILES_X] * plan[at.TILES_Y])
    return (
        advance(tables, 6 * z),
        advance(tables, 6 * (plan[at.TILES_Z] + y)),
        advance(tables, 6 * (plan[at.TILES_Z] + plan[at.TILES_Y] + x)),
    )


@device
def gather_tile(kind: Any, rows: Any, places: Any, x: Any, tile: Any, values: Any, plan: Any) -> None:
    """Transform a tile's 4 x 4 x 4 inputs of every channel into `values`: (point, channel vector, tile, lane)."""
    z, y, columns = tile
    for i in range(4):
        for j in range(4):
            places[4 * i + j] = z[i] + y[j]
    step, lanes = plan[at.VALUES_STEP], lanes_of(kind)
    d0, d1, d2, d3 = places, advance(places, 4), advance(places, 8), advance(places, 12)
    for chunk in range(plan[at.CHUNKS]):
        source = advance(x, chunk * lanes)
        target = advance(values, chunk * rows * lanes)
        plane = subtract_blocks(load_grid(kind, source, d0, columns), load_grid(kind, source, d2, columns))
        store_spread(transform_inputs(plane), target, step)
        plane = add_blocks(load_grid(kind, source, d1, columns), load_grid(kind, source, d2, columns))
        store_spread(transform_inputs(plane), advance(target, 16 * step), step)
        plane = subtract_blocks(load_grid(kind, source, d2, columns), load_grid(kind, source, d1, columns))
        store_spread(transform_inputs(plane), advance(target, 32 * step), step)
        plane = subtract_blocks(load_grid(kind, source, d1, columns), load_grid(kind, source, d3, columns))
        store_spread(transform_inputs(plane), advance(target, 48 * step), step)


@device
def multiply_points(kind: Any, values: Any, weights: Any, products: Any, tiles: Any, plan: Any) -> None:
    """Multiply the 64 matrices of `values` with those of `weights`: (point, input channel, output channel)."""
    lanes, width = lanes_of(kind), columns_of(kind) * lanes_of(kind)
    channels = plan[at.GROUP_INPUTS]
    for point in range(POINTS):
        for first in range(0, tiles, rows_of(kind)):
            sums = zeros(kind)
            for chunk in range(plan[at.CHUNKS]):
                start = point * plan[at.VALUES_STEP] + (plan[at.CHUNKS] * first + chunk * rows_of(kind)) * lanes
                row = (point * channels + chunk * lanes) * width
                for k in range(min(lanes, channels - chunk * lanes)):
                    sums = fma_spread(sums, advance(values, start + k), advance(weights, row + k * width))
                    for c in range(columns_of(kind)):
                        prefetch(advance(weights, row + (k + _AHEAD) * width + c * lanes))
            store_block(sums, advance(products, point * plan[at.PRODUCTS_STEP] + first * width))


@device
def sum_directly(kind: Any, places: Any, x: Any, tile: Any, low: Any, weights: Any, plan: Any) -> Any:
    """Return the direct sums of four outputs of a tile, those of depth `low` (0 or 1)."""
    z, y, columns = tile
    sums = zeros(kind)
    for tap in range(27):
        d, h, w = tap // 9, tap // 3 % 3, tap % 3
        for r in range(4):
            places[r] = z[low + d] + y[r // 2 + h] + columns[r % 2 + w]
        for k in range(plan[at.GROUP_INPUTS]):
            row = (tap * plan[at.GROUP_INPUTS] + k) * lanes_of(kind)
            sums = fma_voxels(sums, advance(x, k), places, advance(weights, row))
    return sums


def _make_scatter(real: Any, code: int) -> Any:
    """Return the device function that ends a tile's output vector, with activation number `code` after the stores."""
    activate_row = make_activate_row(real, code)

    def scatter_tile(kinds: Any, places: Any, x: Any, tile: Any, products: Any, ends: Any, out: Any, plan: Any) -> None:
        kind, quad = kinds
        z, y, columns = tile
        step = plan[at.PRODUCTS_STEP]
        s0 = transform_products(load_spread(kind, products, step))
        s1 = transform_products(load_spread(kind, advance(products, 16 * step), step))
        s2 = transform_products(load_spread(kind, advance(products, 32 * step), step))
        s3 = transform_products(load_spread(kind, advance(products, 48 * step), step))
        near = add_blocks(add_blocks(s0, s1), s2)
        far = subtract_blocks(subtract_blocks(s1, s2), s3)
        table, direct = ends
        if not all_finite(mark_not_finite(mark_not_finite(zeros(quad), near), far)):
            near = replace_not_finite(near, sum_directly(quad, places, x, tile, 0, direct, plan))
            far = replace_not_finite(far, sum_directly(quad, places, x, tile, 1, direct, plan))
        near, far = finish_vectors(quad, near, table, plan), finish_vectors(quad, far, table, plan)
        for i in range(2):
            for r in range(4):
                place = z[4 + i] + y[4 + r // 2] + columns[4 + r % 2]
                inside = min(min(z[4 + i], y[4 + r // 2]), columns[4 + r % 2]) >= 0
                places[4 * i + r] = place if inside else -1
        store_inside(near, out, places)
        store_inside(far, out, advance(places, 4))
        if plan[at.ACTIVATE]:
            for r in range(8):
                if places[r] >= 0:
                    activate_row(advance(out, places[r]), lanes_of(quad), 1, table, lanes_of(quad))

    return device(rename(scatter_tile, f"scatter_tile_{code}"))


@register("conv_winograd.conv", parallel=True)
def make_conv_winograd(real: Any, lanes: int, rows: int, columns: int, code: int) -> Any:
    """Make the kernel whose matrix products go in blocks of `rows` tiles x `columns` vectors of `lanes` channels.

    Products are summed over input channels in rising order, from zero, by fused multiply-adds; a sum that is not
    finite (infinities may cancel on the way) is taken again directly. Threads take jobs from a counter: a job is STRIP
    tiles of all output channels, thread i uses part i of `scratch`. `code` is that of an activation to apply to what
    was just stored, or 0: bounds and slopes are applied in registers.
    """
    grid, block, quad = Block(real, lanes, 4, 4), Block(real, lanes, rows, columns), Block(real, lanes, 4, 1)
    sixteen = Block(real, lanes, 16, 1)
    scatter_tile = _make_scatter(real, code)

    def winograd_job(arrays: Any, plan: Any, job: Any, slot: Any) -> None:
        x, weights, direct, table, out, tables, scratch = arrays
        first = job * plan[at.STRIP]
        tiles = min(plan[at.STRIP], plan[at.TILES] - first)
        x0, offsets = pointer(x, plan[at.X_START]), pointer(tables, 0)
        values = pointer(scratch, slot * plan[at.SLOT])
        products = advance(values, POINTS * plan[at.VALUES_STEP])
        places = make_places(sixteen)
        for t in range(tiles):
            tile = find_tile(first + t, offsets, plan)
            part, row = t // rows_of(block), t % rows_of(block)
            target = advance(values, (part * plan[at.CHUNKS] * rows_of(block) + row) * lanes_of(block))
            gather_tile(grid, rows_of(block), places, x0, tile, target, plan)
        width = columns_of(block) * lanes_of(block)
        channels = plan[at.GROUP_INPUTS]
        for part in range(plan[at.BLOCKS]):
            multiply_points(block, values, pointer(weights, part * POINTS * channels * width), products, tiles, plan)
            for t in range(tiles):
                tile = find_tile(first + t, offsets, plan)
                for c in range(min(columns_of(block), plan[at.OUT_VECTORS] - part * columns_of(block))):
                    vector = part * columns_of(block) + c
                    ends = (
                        pointer(table, vector * at.TABLE_ROWS * lanes_of(block)),
                        pointer(direct, vector * 27 * channels * lanes_of(block)),
                    )
                    source = advance(products, t * width + c * lanes_of(block))
                    goal = pointer(out, plan[at.OUT_START] + vector * lanes_of(block))
                    scatter_tile((grid, quad), places, x0, tile, source, ends, goal, plan)

    winograd_job = device(rename(winograd_job, f"winograd_job_{code}"))

    def conv(x: Any, weights: Any, direct: Any, table: Any, out: Any, tables: Any, scratch: Any, plan: Any) -> None:
        for slot in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                winograd_job((x, weights, direct, table, out, tables, scratch), plan, job, slot)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    written = flat(real, writable=True)
    return conv, void(reals, reals, reals, reals, written, ints, written, ints)

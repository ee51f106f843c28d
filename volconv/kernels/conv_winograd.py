"""Winograd's F(2x2x2, 3x3x3) for dense layers of many channels: reads and writes channels last.

Pairs of outputs along each axis share their products: 64 multiplications where the direct sum takes 216. A strip of
tiles is transformed into 4 planes of 16 small matrices (tiles x input channels), each is multiplied with one of 64
matrices of weights, and a plane's products are transformed and added to 2 x 2 x 2 outputs a tile. One plane is done
before the next begins, so a strip takes little memory. Which outputs form a tile follows from their place in the whole
volume, and each depends on its own window alone, so results do not depend on the cut.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .conv_last import bound_vectors, scale_vectors
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_voxels
from .residual import add_voxels, make_finish
from .simd import advance, columns_of, lanes_of, make_places, next_job, pointer, prefetch, rows_of, zeros
from .winograd_blocks import (
    add_blocks,
    add_times,
    all_finite,
    fma_spread,
    load_block,
    load_grid,
    load_spread,
    mark_not_finite,
    replace_not_finite,
    store_block,
    store_inside,
    store_spread,
    subtract_blocks,
    transform_columns,
    transform_halves,
    transform_products,
)

_AHEAD = 16
"""Input channels between asking for weights and using them: some hundred cycles, what the L2 cache takes and more."""
POINTS = 16
"""Products of a plane of a tile for each pair of channels: 4 along h and along w."""


@inlined
def find_tile(number: Any, plan: Any) -> Any:
    """Return the place (z, y, x) of tile number `number` of the box, in tiles."""
    row = number // plan[at.TILES_X]
    return row // plan[at.TILES_Y], row % plan[at.TILES_Y], number % plan[at.TILES_X]


@inlined
def next_tile(tile: Any, plan: Any) -> Any:
    """Return the place of the tile that follows `tile` along x, else y, else z."""
    z, y, x = tile
    x += 1
    if x == plan[at.TILES_X]:
        x = 0
        y += 1
        if y == plan[at.TILES_Y]:
            y = 0
            z += 1
    return z, y, x


@inlined
def offsets_of(tile: Any, tables: Any, plan: Any) -> Any:
    """Return the tables of a tile's offsets: four inputs and two outputs an axis."""
    z, y, x = tile
    y += plan[at.TILES_Z]
    x += plan[at.TILES_Z] + plan[at.TILES_Y]
    return advance(tables, 6 * z), advance(tables, 6 * y), advance(tables, 6 * x)


@inlined
def place_residual(places: Any, tile: Any, tables: Any, plan: Any) -> None:
    """Write where what is added to a tile's outputs lies: four of each depth."""
    z, y, x = tile
    y += plan[at.TILES_Z]
    x += plan[at.TILES_Z] + plan[at.TILES_Y]
    start = advance(tables, plan[at.RESIDUAL_TABLES])
    for r in range(8):
        places[r] = start[2 * z + r // 4] + start[2 * y + r // 2 % 2] + start[2 * x + r % 2]


@inlined
def place_rows(places: Any, z: Any, y: Any, plane: Any) -> None:
    """Write where the rows begin that a plane of transformed inputs combines: four of each of two planes."""
    near = z[plane if plane < 3 else 1]
    far = z[3 if plane == 3 else 2 - plane // 2]
    for j in range(4):
        places[j], places[4 + j] = near + y[j], far + y[j]


@inlined
def load_half(kind: Any, source: Any, places: Any, columns: Any, plane: Any) -> Any:
    """Return two columns of a tile's inputs transformed along d and h: d0 - d2, d1 + d2, d2 - d1 or d1 - d3."""
    near, far = load_grid(kind, source, places, columns), load_grid(kind, source, advance(places, 4), columns)
    return transform_columns(add_times(near, far, 1 if plane == 1 else -1))


@device
def gather_plane(kinds: Any, places: Any, x: Any, strip: Any, tables: Any, plane: Any, values: Any, plan: Any) -> None:
    """Transform a plane of a strip's inputs of every channel into `values`: (point, channel vector, tile, lane).

    Of two tiles that share two columns of inputs, one vector of channels each, the second takes them from registers.
    """
    kind, block = kinds
    tile, tiles = strip
    lanes, rows = lanes_of(kind), rows_of(block)
    shared = plan[at.SHARED] != 0 and plan[at.CHUNKS] == 1
    left = zeros(kind)
    for t in range(tiles):
        z, y, columns = offsets_of(tile, tables, plan)
        follows = t > 0 and tile[2] > 0
        if not follows:
            place_rows(places, z, y, plane)
        target = advance(values, (t // rows * plan[at.CHUNKS] * rows + t % rows) * lanes)
        for chunk in range(plan[at.CHUNKS]):
            source = advance(x, chunk * lanes)
            if not (follows and shared):
                left = load_half(kind, source, places, columns, plane)
            right = load_half(kind, source, places, advance(columns, 2), plane)
            store_spread(transform_halves(left, right), advance(target, chunk * rows * lanes), plan[at.VALUES_STEP])
            left = right
        tile = next_tile(tile, plan)


@device
def multiply_points(kind: Any, values: Any, weights: Any, products: Any, tiles: Any, plan: Any) -> None:
    """Multiply the matrices of a plane of `values` with those of `weights`: (point, input channel, output channel)."""
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
def add_plane(kinds: Any, products: Any, plane: Any, sums: Any, plan: Any) -> None:
    """Transform a plane of an output vector's products and add it to the sums: four near outputs, then four far ones.

    Near ones are planes 0 + 1 + 2, far ones 1 - 2 - 3.
    """
    kind, quad = kinds
    block = transform_products(load_spread(kind, products, plan[at.PRODUCTS_STEP]))
    far = advance(sums, 4 * lanes_of(kind))
    if plane == 0:
        store_block(block, sums)
    elif plane == 1:
        store_block(add_blocks(load_block(quad, sums), block), sums)
        store_block(block, far)
    else:
        if plane == 2:
            store_block(add_blocks(load_block(quad, sums), block), sums)
        store_block(subtract_blocks(load_block(quad, far), block), far)


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


def _make_finish(real: Any, code: int, residual: bool) -> Any:
    """Return the device function that ends a tile's output vector, with activation number `code` after the stores."""
    activate_row = make_activate_row(real, code)
    finish = make_finish(scale_vectors, bound_vectors, add_voxels if residual else None)

    def finish_tile(
        quad: Any, places: Any, x: Any, place: Any, sums: Any, ends: Any, volumes: Any, tables: Any, plan: Any
    ) -> None:
        out, other = volumes
        tile = offsets_of(place, tables, plan)
        z, y, columns = tile
        near, far = load_block(quad, sums), load_block(quad, advance(sums, 4 * lanes_of(quad)))
        table, direct = ends
        if not all_finite(mark_not_finite(mark_not_finite(zeros(quad), near), far)):
            near = replace_not_finite(near, sum_directly(quad, places, x, tile, 0, direct, plan))
            far = replace_not_finite(far, sum_directly(quad, places, x, tile, 1, direct, plan))
        if residual:
            place_residual(places, place, tables, plan)
        near = finish(quad, near, table, plan, (other, places, 1))
        far = finish(quad, far, table, plan, (other, advance(places, 4), 1))
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

    return device(rename(finish_tile, f"finish_tile_{code}_{int(residual)}"))


@register("conv_winograd.conv", parallel=True)
def make_conv_winograd(real: Any, lanes: int, rows: int, columns: int, code: int, residual: int = 0) -> Any:
    """Make the kernel whose matrix products go in blocks of `rows` tiles x `columns` vectors of `lanes` channels.

    Products are summed over input channels in rising order, from zero, by fused multiply-adds; a sum that is not
    finite (infinities may cancel on the way) is taken again directly. Threads take jobs from a counter: a job is STRIP
    tiles of all output channels, thread i uses part i of `scratch`. `code` is that of an activation to apply to what
    was just stored, or 0: bounds and slopes are applied in registers. With `residual`, the values of `other` are added
    in registers too.
    """
    grid, block, quad = Block(real, lanes, 4, 4), Block(real, lanes, rows, columns), Block(real, lanes, 4, 1)
    eight, half = Block(real, lanes, 8, 1), Block(real, lanes, 4, 2)
    finish_tile = _make_finish(real, code, bool(residual))

    def winograd_job(arrays: Any, plan: Any, job: Any, slot: Any) -> None:
        x0, weights, direct, table, out, other, offsets, scratch = arrays
        number = job * plan[at.STRIP]
        tiles = min(plan[at.STRIP], plan[at.TILES] - number)
        first = find_tile(number, plan)
        values = advance(scratch, slot * plan[at.SLOT])
        products = advance(values, POINTS * plan[at.VALUES_STEP])
        sums = advance(products, POINTS * plan[at.PRODUCTS_STEP])
        places = make_places(eight)
        width = columns_of(block) * lanes_of(block)
        channels, vectors = plan[at.GROUP_INPUTS], plan[at.OUT_VECTORS]
        for plane in range(4):
            gather_plane((half, block), places, x0, (first, tiles), offsets, plane, values, plan)
            for part in range(plan[at.BLOCKS]):
                start = advance(weights, (part * 4 + plane) * POINTS * channels * width)
                multiply_points(block, values, start, products, tiles, plan)
                tile = first
                for t in range(tiles):
                    for c in range(min(columns_of(block), vectors - part * columns_of(block))):
                        vector = part * columns_of(block) + c
                        source = advance(products, t * width + c * lanes_of(block))
                        goal = advance(sums, (vector * plan[at.STRIP] + t) * 8 * lanes_of(block))
                        add_plane((grid, quad), source, plane, goal, plan)
                        if plane == 3:
                            ends = (
                                advance(table, vector * at.TABLE_ROWS * lanes_of(block)),
                                advance(direct, vector * 27 * channels * lanes_of(block)),
                            )
                            to, added = advance(out, vector * lanes_of(block)), advance(other, vector * lanes_of(block))
                            finish_tile(quad, places, x0, tile, goal, ends, (to, added), offsets, plan)
                    tile = next_tile(tile, plan)

    winograd_job = device(rename(winograd_job, f"winograd_job_{code}_{int(residual)}"))

    def conv(
        x: Any, weights: Any, direct: Any, table: Any, out: Any, other: Any, tables: Any, scratch: Any, plan: Any
    ) -> None:
        for slot in prange(plan[at.THREADS]):
            # addresses, since every array handed on would be counted as one more reference: an atomic step
            arrays = (
                pointer(x, plan[at.X_START]),
                pointer(weights, 0),
                pointer(direct, 0),
                pointer(table, 0),
                pointer(out, plan[at.OUT_START]),
                pointer(other, plan[at.RESIDUAL_START]),
                pointer(tables, 0),
                pointer(scratch, 0),
            )
            steps, counter = pointer(plan, 0), pointer(plan, at.NEXT)
            job = next_job(counter)
            while job < plan[at.JOBS]:
                winograd_job(arrays, steps, job, slot)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    written = flat(real, writable=True)
    return conv, void(reals, reals, reals, reals, written, reals, ints, written, ints)

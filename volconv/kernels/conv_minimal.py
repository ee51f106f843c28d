"""Winograd's minimal filters along three axes, each its own: dense layers of stride 2, transposed ones, flat kernels.

As `conv_winograd` does, a strip of tiles is transformed, multiplied and transformed back, one point along z after the
other. Each point along h and w is a sum over products of several values and weights (`catalog_filters`), taken in
registers. Which outputs form a tile follows from their place in the whole volume, and each depends on its own window
alone, so results do not depend on the cut. Reads and writes channels last.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from .blocks import Block
from .catalog_filters import MOST_OUTPUTS, MOST_TAPS, MOST_VALUES
from .conv_finish import make_activate_row, rename
from .conv_last import bound_vectors, scale_vectors
from .conv_winograd import find_tile, next_tile
from .jit import device, flat, inlined, int64, prange, register, void
from .minimal_blocks import Filters, transform_inputs, transform_sums
from .residual import add_voxels, make_finish
from .simd import advance, columns_of, lanes_of, make_places, next_job, pointer, prefetch, rows_of, zeros
from .winograd_blocks import (
    add_times,
    all_finite,
    fma_spread,
    load_block,
    load_grid,
    load_spread,
    replace_not_finite,
    store_block,
    store_inside,
    store_spread,
)

_AHEAD = 16
"""Input channels between asking for weights and using them: some hundred cycles, what the L2 cache takes and more."""
_TILES_AHEAD = 2
"""Tiles between asking for inputs and using them."""
VALUES, VALUE = 0, 1
"""A record of a point along z: how many values it takes; of each whether it is NEW, and NEAR, FAR, SIGN, WEIGHT."""
NEW, NEAR, FAR, SIGN, WEIGHT, VALUE_LENGTH = range(6)
OUTPUT = VALUE + MOST_VALUES * VALUE_LENGTH
"""Then of each output it adds to, -1 for none: WHICH, its FACTOR, and whether it is its FIRST and LAST point."""
WHICH, FACTOR, FIRST, LAST, OUTPUT_LENGTH = range(5)
DEPTH_LENGTH = OUTPUT + MOST_OUTPUTS * OUTPUT_LENGTH
DIRECT_LENGTH = 1 + 2 * MOST_TAPS
"""A record of an output's direct sum along an axis: how many taps; then of each its input and its number."""


@inlined
def offsets_of(tile: Any, tables: Any, plan: Any) -> Any:
    """Return the tables of a tile's offsets along each axis: inputs, and outputs behind them."""
    z, y, x = tile
    rows = plan[at.TILES_Z] * plan[at.WIDTH_Z]
    columns = rows + plan[at.TILES_Y] * plan[at.WIDTH_Y]
    return (
        advance(tables, plan[at.WIDTH_Z] * z),
        advance(tables, rows + plan[at.WIDTH_Y] * y),
        advance(tables, columns + plan[at.WIDTH_X] * x),
    )


@inlined
def place_outputs(plane: Any, places: Any, offsets: Any, depth: Any, plan: Any) -> None:
    """Write where a tile's outputs of one depth lie, -1 where they lie beyond the box."""
    z, y, columns = offsets
    start = z[plan[at.INPUTS_Z] + depth]
    rows, columns = advance(y, plan[at.INPUTS_Y]), advance(columns, plan[at.INPUTS_X])
    for i in range(rows_of(plane)):
        for j in range(columns_of(plane)):
            outside = (start | rows[i] | columns[j]) < 0
            places[i * columns_of(plane) + j] = -1 if outside else start + rows[i] + columns[j]


@inlined
def place_residual(places: Any, tile: Any, depth: Any, tables: Any, plan: Any) -> None:
    """Write where what is added to a tile's outputs of one depth lies."""
    z, y, x = tile
    outputs_z, outputs_y = plan[at.WIDTH_Z] - plan[at.INPUTS_Z], plan[at.WIDTH_Y] - plan[at.INPUTS_Y]
    outputs_x = plan[at.WIDTH_X] - plan[at.INPUTS_X]
    start = advance(tables, plan[at.RESIDUAL_TABLES])
    rows = advance(start, plan[at.TILES_Z] * outputs_z + y * outputs_y)
    columns = advance(start, plan[at.TILES_Z] * outputs_z + plan[at.TILES_Y] * outputs_y + x * outputs_x)
    for i in range(outputs_y):
        for j in range(outputs_x):
            places[i * outputs_x + j] = start[outputs_z * z + depth] + rows[i] + columns[j]


@inlined
def fetch_ahead(kind: Any, source: Any, places: Any, columns: Any, record: Any, plan: Any) -> None:
    """Ask for the inputs of a tile further on along w; its first column mostly belongs to the tile before it as well.

    Behind the last tile of a row this reads other tables: what it then asks for is not used.
    """
    ahead = advance(columns, _TILES_AHEAD * plan[at.WIDTH_X])
    for j in range(rows_of(kind)):
        for i in range(1, columns_of(kind)):
            prefetch(advance(source, places[j] + ahead[i]))
    if record[SIGN] != 0:
        for j in range(rows_of(kind), 2 * rows_of(kind)):
            for i in range(1, columns_of(kind)):
                prefetch(advance(source, places[j] + ahead[i]))


@device
def gather_plane(
    kinds: Any, filters: Any, places: Any, x: Any, strip: Any, tables: Any, record: Any, values: Any, plan: Any
) -> None:
    """Transform a plane of a strip's inputs of every channel into `values`: (value, channel vector, tile, lane)."""
    kind, block = kinds
    tile, tiles = strip
    lanes, rows = lanes_of(kind), rows_of(block)
    for t in range(tiles):
        z, y, columns = offsets_of(tile, tables, plan)
        for j in range(rows_of(kind)):
            places[j] = z[record[NEAR]] + y[j]
            places[rows_of(kind) + j] = z[record[FAR]] + y[j]
        target = advance(values, (t // rows * plan[at.CHUNKS] * rows + t % rows) * lanes)
        for chunk in range(plan[at.CHUNKS]):
            source = advance(x, chunk * lanes)
            inputs = load_grid(kind, source, places, columns)
            if record[SIGN] != 0:
                far = load_grid(kind, source, advance(places, rows_of(kind)), columns)
                inputs = add_times(inputs, far, record[SIGN])
            fetch_ahead(kind, source, places, columns, record, plan)
            goal = advance(target, chunk * rows * lanes)
            store_spread(transform_inputs(filters, inputs), goal, plan[at.VALUES_STEP])
        tile = next_tile(tile, plan)


@device
def multiply_points(
    kind: Any, values: Any, weights: Any, products: Any, tiles: Any, depth: Any, tables: Any, plan: Any
) -> None:
    """Sum the products of every point along h and w of one along z: (point, tile, output channel)."""
    lanes, width = lanes_of(kind), columns_of(kind) * lanes_of(kind)
    channels, rows = plan[at.GROUP_INPUTS], rows_of(kind)
    starts, terms = advance(tables, plan[at.TERMS_STARTS]), advance(tables, plan[at.TERMS])
    for point in range(plan[at.POINTS]):
        for first in range(0, tiles, rows):
            sums = zeros(kind)
            for n in range(depth[VALUES]):
                part = advance(values, n * plan[at.VALUES_PLANE] + plan[at.CHUNKS] * first * lanes)
                filters = advance(weights, depth[VALUE + n * VALUE_LENGTH + WEIGHT] * plan[at.WEIGHTS_PLANE])
                for term in range(starts[point], starts[point + 1]):
                    for chunk in range(plan[at.CHUNKS]):
                        start = advance(part, terms[2 * term] + chunk * rows * lanes)
                        row = advance(filters, terms[2 * term + 1] + chunk * lanes * width)
                        for k in range(min(lanes, channels - chunk * lanes)):
                            sums = fma_spread(sums, advance(start, k), advance(row, k * width))
                            for c in range(columns_of(kind)):
                                prefetch(advance(row, (k + _AHEAD) * width + c * lanes))
            store_block(sums, advance(products, point * plan[at.PRODUCTS_STEP] + first * width))


@device
def sum_directly(one: Any, x: Any, offsets: Any, output: Any, tables: Any, weights: Any, plan: Any) -> Any:
    """Return the direct sum of one output (z, y, x) of a tile."""
    z, y, columns = offsets
    direct = advance(tables, plan[at.DIRECT])
    outputs_z, outputs_y = plan[at.WIDTH_Z] - plan[at.INPUTS_Z], plan[at.WIDTH_Y] - plan[at.INPUTS_Y]
    along_z = advance(direct, output[0] * DIRECT_LENGTH)
    along_y = advance(direct, (outputs_z + output[1]) * DIRECT_LENGTH)
    along_x = advance(direct, (outputs_z + outputs_y + output[2]) * DIRECT_LENGTH)
    sums = zeros(one)
    for d in range(along_z[0]):
        for h in range(along_y[0]):
            for w in range(along_x[0]):
                place = z[along_z[1 + 2 * d]] + y[along_y[1 + 2 * h]] + columns[along_x[1 + 2 * w]]
                tap = (along_z[2 + 2 * d] * plan[at.TAPS_Y] + along_y[2 + 2 * h]) * plan[at.TAPS_X]
                tap += along_x[2 + 2 * w]
                for k in range(plan[at.GROUP_INPUTS]):
                    row = (tap * plan[at.GROUP_INPUTS] + k) * lanes_of(one)
                    sums = fma_spread(sums, advance(x, place + k), advance(weights, row))
    return sums


@device
def mend_sums(
    one: Any, x: Any, offsets: Any, depth: Any, sums: Any, places: Any, count: Any, tables: Any, weights: Any, plan: Any
) -> None:
    """Take those of the `count` sums of one depth again directly that are not finite and have a place."""
    outputs_x = plan[at.WIDTH_X] - plan[at.INPUTS_X]
    for r in range(count):
        place = advance(sums, r * lanes_of(one))
        value = load_block(one, place)
        if places[r] >= 0 and not all_finite(value):
            output = (depth, r // outputs_x, r % outputs_x)
            value = replace_not_finite(value, sum_directly(one, x, offsets, output, tables, weights, plan))
            store_block(value, place)


def _make_finish(real: Any, code: int, residual: bool) -> Any:
    """Return the device function that ends one depth of a tile's output vector, with activation number `code`.

    Its sums come as a block, and `sums` is room for them where some have to be taken again.
    """
    activate_row = make_activate_row(real, code)
    finish = make_finish(scale_vectors, bound_vectors, add_voxels if residual else None)

    def finish_depth(
        kinds: Any, places: Any, x: Any, place: Any, depth: Any, block: Any, sums: Any, ends: Any, volumes: Any,
        tables: Any, plan: Any,
    ) -> None:  # fmt: skip
        plane, kind, one = kinds
        out, other = volumes
        table, direct = ends
        offsets = offsets_of(place, tables, plan)
        if not all_finite(block):
            store_block(block, sums)
            place_outputs(plane, places, offsets, depth, plan)
            mend_sums(one, x, offsets, depth, sums, places, rows_of(kind), tables, direct, plan)
            block = load_block(kind, sums)
        if residual:
            place_residual(places, place, depth, tables, plan)
        block = finish(kind, block, table, plan, (other, places, 1))
        place_outputs(plane, places, offsets, depth, plan)
        store_inside(block, out, places)
        if plan[at.ACTIVATE]:
            for r in range(rows_of(kind)):
                if places[r] >= 0:
                    activate_row(advance(out, places[r]), lanes_of(kind), 1, table, lanes_of(kind))

    return inlined(rename(finish_depth, f"finish_depth_{code}_{int(residual)}"))


def _make_add(real: Any, code: int, residual: bool) -> Any:
    """Return the device function that adds a point along z of a tile's output vector to those of its outputs."""
    finish_depth = _make_finish(real, code, residual)

    def add_depth(
        kinds: Any, filters: Any, places: Any, x: Any, tile: Any, record: Any, products: Any, sums: Any, ends: Any,
        volumes: Any, tables: Any, plan: Any,
    ) -> None:  # fmt: skip
        grid, plane, kind, one = kinds
        some = plane, kind, one
        block = transform_sums(filters, load_spread(grid, products, plan[at.PRODUCTS_STEP]))
        for n in range(MOST_OUTPUTS):
            output = advance(record, OUTPUT + n * OUTPUT_LENGTH)
            depth = output[WHICH]
            if depth >= 0:
                place = advance(sums, depth * rows_of(kind) * lanes_of(kind))
                total = block
                if output[FIRST] == 0:
                    total = add_times(load_block(kind, place), block, output[FACTOR])
                if output[LAST]:
                    finish_depth(some, places, x, tile, depth, total, place, ends, volumes, tables, plan)
                else:
                    store_block(total, place)

    return device(rename(add_depth, f"add_depth_{code}_{int(residual)}"))


@register("conv_minimal.conv", parallel=True)
def make_conv_minimal(
    real: Any, lanes: int, rows: int, columns: int, along_h: int, along_w: int, code: int, residual: int = 0
) -> Any:
    """Make the kernel of the filters numbered `along_h` and `along_w`, whatever that along z is.

    Its matrix products go in blocks of `rows` tiles x `columns` vectors of `lanes` channels: a point is the sum, from
    zero, over values along z, h, w and input channels, in this order, by fused multiply-adds; a sum that is not finite
    (infinities may cancel on the way) is taken again directly. Threads take jobs from a counter: a job is STRIP tiles
    of all output channels, thread i uses part i of `scratch`. `code` is that of an activation to apply to what was just
    stored, or 0: bounds and slopes are applied in registers. With `residual`, the values of `other` are added in
    registers too.
    """
    filters = Filters(along_h, along_w)
    inputs, block = Block(real, lanes, filters.h.inputs, filters.w.inputs), Block(real, lanes, rows, columns)
    points, one = Block(real, lanes, filters.h.points, filters.w.points), Block(real, lanes, 1, 1)
    plane = Block(real, lanes, filters.h.outputs, filters.w.outputs)
    outputs = Block(real, lanes, plane.rows * plane.columns, 1)
    most = Block(real, lanes, max(2 * filters.h.inputs, outputs.rows), 1)
    add_depth = _make_add(real, code, bool(residual))

    def minimal_job(arrays: Any, plan: Any, job: Any, slot: Any) -> None:
        x0, weights, direct, table, out, other, lists, scratch = arrays
        number = job * plan[at.STRIP]
        tiles = min(plan[at.STRIP], plan[at.TILES] - number)
        first = find_tile(number, plan)
        values = advance(scratch, slot * plan[at.SLOT])
        products = advance(values, plan[at.PLANES] * plan[at.VALUES_PLANE])
        sums = advance(products, plan[at.POINTS] * plan[at.PRODUCTS_STEP])
        places = make_places(most)
        width = columns_of(block) * lanes_of(block)
        vectors = plan[at.OUT_VECTORS]
        tile_sums = (plan[at.WIDTH_Z] - plan[at.INPUTS_Z]) * rows_of(outputs) * lanes_of(block)
        kinds = (points, plane, outputs, one)
        for point in range(plan[at.DEPTHS]):
            depth = advance(lists, plan[at.DEPTHS_START] + point * DEPTH_LENGTH)
            for n in range(depth[VALUES]):
                record = advance(depth, VALUE + n * VALUE_LENGTH)
                if record[NEW]:
                    goal = advance(values, n * plan[at.VALUES_PLANE])
                    gather_plane((inputs, block), filters, places, x0, (first, tiles), lists, record, goal, plan)
            for part in range(plan[at.BLOCKS]):
                start = advance(weights, part * plan[at.WEIGHTS_STEP])
                multiply_points(block, values, start, products, tiles, depth, lists, plan)
                tile = first
                for t in range(tiles):
                    for c in range(min(columns_of(block), vectors - part * columns_of(block))):
                        vector = part * columns_of(block) + c
                        source = advance(products, t * width + c * lanes_of(block))
                        goal = advance(sums, (vector * plan[at.STRIP] + t) * tile_sums)
                        ends = (
                            advance(table, vector * at.TABLE_ROWS * lanes_of(block)),
                            advance(direct, vector * plan[at.DIRECT_STEP]),
                        )
                        volumes = advance(out, vector * lanes_of(block)), advance(other, vector * lanes_of(block))
                        add_depth(kinds, filters, places, x0, tile, depth, source, goal, ends, volumes, lists, plan)
                    tile = next_tile(tile, plan)

    name = f"minimal_job_{along_h}_{along_w}_{code}_{int(residual)}"
    minimal_job = device(rename(minimal_job, name))

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
                minimal_job(arrays, steps, job, slot)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    written = flat(real, writable=True)
    return conv, void(reals, reals, reals, reals, written, reals, ints, written, ints)

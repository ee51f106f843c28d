"""Convolution with filters that are a product of three vectors, in one sweep over memory: d, then h, then w.

A job walks along h. Each row of its planes is summed along d while it is in the first-level cache; the last of these
sums stay in the second-level cache, a ring of rows a plane, and are summed along h, a few rows at once, and along w
into the output: memory is read once, but for planes that two jobs need, and written once. Every sum is that of a pass
over the whole volume, bit for bit. Voxels outside the volume are never stored: tables say what stands for them.
"""

from __future__ import annotations

from typing import Any

from . import conv_plan as at
from . import sweep_plan as sweep
from .blocks import Block
from .conv_finish import make_activate_row, rename
from .conv_first import bound_channels, scale_channels
from .jit import device, flat, inlined, int64, prange, register, void
from .products import fma_column, fma_falling, fma_lanes, fma_rising
from .simd import advance, columns_of, lanes_of, next_job, pointer, prefetch, prefetch_far, rows_of, store_lanes, zeros


@inlined
def sum_rows(kind: Any, x: Any, places: Any, vector: Any, taps: Any) -> Any:
    """Return the sums of a block: column c is the sum over taps t of vector[taps - 1 - t] times x[places[c + t]]."""
    sums = zeros(kind)
    last = advance(vector, taps - 1)
    if taps >= columns_of(kind):
        sums = fma_rising(sums, x, places, last)
        for i in range(columns_of(kind) - 1, taps):
            sums = fma_lanes(sums, advance(x, places[i]), 1, advance(last, -i))
        sums = fma_falling(sums, x, advance(places, taps), vector)
    else:
        for t in range(taps):
            sums = fma_column(sums, x, advance(places, t), advance(last, -t))
    return sums


@device
def copy_row(source: Any, inside: Any, piece: Any, tables: Any, row: Any) -> None:
    """Copy a piece of a row of the input, or zeros where it lies outside."""
    if inside:
        run, start = advance(row, piece[sweep.X_COLUMN]), advance(source, piece[sweep.X_SOURCE])
        for i in range(piece[sweep.X_RUN]):
            run[i] = start[i]
        extras = advance(tables, piece[sweep.X_EXTRAS_AT])
        for e in range(piece[sweep.X_EXTRAS]):
            row[extras[2 * e]] = source[extras[2 * e + 1]]
    else:
        for i in range(piece[sweep.X_STORED]):
            row[i] = 0


@device
def fill_line(line: Any, fills: Any, count: Any) -> None:
    """Fill the voxels of a row that lie outside from those that stand for them, or with zero."""
    for i in range(count):
        source = fills[2 * i + 1]
        if source >= 0:
            line[fills[2 * i]] = line[source]
        else:
            line[fills[2 * i]] = 0


@device
def sum_vectors(kinds: Any, x: Any, places: Any, vector: Any, taps: Any, target: Any, vectors: Any) -> None:
    """Sum a few rows of `vectors` vectors: those of column c go `step` elements behind those of the one before."""
    kind, tail = kinds
    out, step = target
    lanes, v = lanes_of(kind), 0
    while v + rows_of(kind) <= vectors:
        sums = sum_rows(kind, advance(x, v * lanes), places, vector, taps)
        store_lanes(sums, advance(out, v * lanes), step, columns_of(kind), rows_of(kind) * lanes)
        v += rows_of(kind)
    while v < vectors:
        sums = sum_rows(tail, advance(x, v * lanes), places, vector, taps)
        store_lanes(sums, advance(out, v * lanes), step, columns_of(tail), rows_of(tail) * lanes)
        v += rows_of(tail)


@inlined
def sum_along_w(kind: Any, line: Any, vector: Any, table: Any, out: Any, count: Any, plan: Any) -> None:
    """Sum one block of voxels of a row, and store the first `count` with the epilogue; ask for what follows it in d."""
    sums = zeros(kind)
    last, soon = advance(vector, plan[sweep.TAPS_W] - 1), advance(out, plan[at.OUT_Z])
    for r in range(rows_of(kind)):
        prefetch(advance(soon, r * lanes_of(kind)))
    for t in range(plan[sweep.TAPS_W]):
        sums = fma_lanes(sums, advance(line, t), 1, advance(last, -t))
    sums = bound_channels(kind, scale_channels(kind, sums, table, plan), table, plan)
    store_lanes(sums, out, 0, 1, count)


def _make_line(real: Any, code: int) -> Any:
    """Return the device function that makes a row of the output, with activation number `code` after the stores."""
    activate_row = make_activate_row(real, code)

    def finish_line(kinds: Any, line: Any, vector: Any, table: Any, out: Any, count: Any, plan: Any) -> None:
        wide, small = kinds
        block = rows_of(wide) * lanes_of(wide)
        v = 0
        while v + block // 2 < count:
            sum_along_w(wide, advance(line, v), vector, table, advance(out, v), count - v, plan)
            v += block
        while v < count:
            sum_along_w(small, advance(line, v), vector, table, advance(out, v), count - v, plan)
            v += rows_of(small) * lanes_of(small)
        if plan[at.ACTIVATE]:
            activate_row(out, count, 1, table, 1)

    return device(rename(finish_line, f"finish_line_{code}"))


@device
def sum_along_d(kinds: Any, source: Any, inside: Any, work: Any, z: Any, piece: Any, plan: Any) -> None:
    """Sum one row of every plane of a piece along d into its place in the ring."""
    stage, ring, places, vector, tables = work
    z_sources, count = z
    kind = kinds[0]
    columns, kept, taps = columns_of(kind), plan[sweep.KEPT], plan[sweep.TAPS_D]
    vectors = -(-piece[sweep.X_STORED] // lanes_of(kind))
    copied = 0
    for first in range(0, count, columns):
        while copied < min(first + columns, count) + taps - 1:
            place = z_sources[copied]
            row = advance(stage, copied % kept * plan[sweep.ROW_STEP])
            copy_row(advance(source, max(0, place)), inside and place >= 0, piece, tables, row)
            copied += 1
        for i in range(kept):
            places[i] = (first + i) % kept * plan[sweep.ROW_STEP]
        target = (advance(ring, first * plan[sweep.PLANE_STEP]), plan[sweep.PLANE_STEP])
        sum_vectors(kinds, stage, places, vector, taps, target, vectors)


@device
def fetch_row(kind: Any, source: Any, z: Any, row: Any, piece: Any) -> None:
    """Ask for what will be copied of a row, in one plane of the job and in those a multiple of `step` behind it."""
    z_sources, first, step, count = z
    if row[sweep.ROW_FRESH]:
        start = advance(source, max(0, row[sweep.ROW_SOURCE]) + piece[sweep.X_SOURCE])
        for place in range(first, count, step):
            plane = advance(start, max(0, z_sources[place]))
            for i in range(0, piece[sweep.X_RUN], lanes_of(kind)):
                prefetch_far(advance(plane, i))


def _make_job(real: Any, code: int) -> Any:
    """Return the device function of one job: a piece of one output channel."""
    finish_line = _make_line(real, code)

    def sweep_rows(kinds: Any, ring: Any, work: Any, out: Any, span: Any, piece: Any, plan: Any) -> None:
        """Make a few output rows of every plane of a piece, along h and w."""
        lines, places, along_h, table, tables = work
        planes, count, source, z_sources, following = span
        kind, tail, wide, small = kinds
        along_w, fills = advance(along_h, plan[sweep.TAPS_H]), advance(tables, piece[sweep.X_FILLS_AT])
        vectors = -(-piece[sweep.X_STORED] // lanes_of(kind))
        first = advance(lines, piece[sweep.X_LEAD])
        target = (advance(first, piece[sweep.X_POSITION]), plan[sweep.LINE_STEP])
        for z in range(planes):
            rows = advance(ring, z * plan[sweep.PLANE_STEP])
            sum_vectors((kind, tail), rows, places, along_h, plan[sweep.TAPS_H], target, vectors)
            for r in range(count):  # before the first is read: loads of what has just been stored in part wait
                fill_line(advance(first, r * plan[sweep.LINE_STEP]), fills, piece[sweep.X_FILLS])
            for r in range(count):
                line = advance(first, r * plan[sweep.LINE_STEP])
                place = advance(out, z * plan[at.OUT_Z] + r * plan[at.OUT_Y])
                z_soon = (z_sources, z, planes, planes + plan[sweep.TAPS_D] - 1)
                fetch_row(kind, source, z_soon, advance(following, r * sweep.ROW_RECORD), piece)
                finish_line((wide, small), line, along_w, table, place, piece[sweep.X_COUNT], plan)

    sweep_rows = device(rename(sweep_rows, f"sweep_rows_{code}"))

    def sweep_job(kinds: Any, arrays: Any, tables: Any, plan: Any, job: Any, slot: Any) -> None:
        x, vectors, table, out, scratch = arrays
        y_part, piece = job % plan[sweep.Y_PARTS], job // plan[sweep.Y_PARTS]
        x_piece, piece = piece % plan[sweep.X_PIECES], piece // plan[sweep.X_PIECES]
        z_piece, channel = piece % plan[sweep.Z_PIECES], piece // plan[sweep.Z_PIECES]
        along_y = advance(tables, plan[sweep.Y_TABLE] + y_part * sweep.Y_RECORD)
        along_x = advance(tables, plan[sweep.X_TABLE] + x_piece * sweep.X_RECORD)
        z_first = z_piece * plan[sweep.Z_LENGTH]
        planes = min(plan[sweep.Z_LENGTH], plan[at.N_Z] - z_first)
        z = (advance(tables, plan[sweep.Z_TABLE] + z_first), planes)
        rows = advance(tables, along_y[sweep.Y_ROWS])
        kind, tail, _, _ = kinds
        columns, taps_h = columns_of(kind), plan[sweep.TAPS_H]
        along_d = advance(tables, plan[sweep.PLACES] + slot * (plan[sweep.KEPT] + taps_h + columns))
        along_h = advance(along_d, plan[sweep.KEPT])
        source = advance(x, channel // plan[sweep.FILTERS] * plan[at.X_C])
        filters = advance(vectors, channel * (plan[sweep.TAPS_D] + taps_h + plan[sweep.TAPS_W]))
        ring = advance(scratch, slot * plan[sweep.SLOT])
        stage, lines = advance(ring, plan[sweep.STAGE]), advance(ring, plan[sweep.LINES])
        ends = (lines, along_h, advance(filters, plan[sweep.TAPS_D]), advance(table, channel * at.TABLE_ROWS), tables)
        corner = channel * plan[at.OUT_C] + z_first * plan[at.OUT_Z] + along_x[sweep.X_FIRST]
        summed = 0
        for y in range(0, along_y[sweep.Y_COUNT], columns):
            count = min(columns, along_y[sweep.Y_COUNT] - y)
            while summed < y + count + taps_h - 1:
                row = advance(rows, summed * sweep.ROW_RECORD)
                if row[sweep.ROW_FRESH]:
                    place = row[sweep.ROW_SOURCE]
                    work = (stage, advance(ring, row[sweep.ROW_PLACE]), along_d, filters, tables)
                    sum_along_d((kind, tail), advance(source, max(0, place)), place >= 0, work, z, along_x, plan)
                summed += 1
            for i in range(taps_h + columns - 1):
                along_h[i] = rows[(y + i) * sweep.ROW_RECORD + sweep.ROW_PLACE]
            target = advance(out, corner + (along_y[sweep.Y_FIRST] + y) * plan[at.OUT_Y])
            span = (planes, count, source, z[0], advance(rows, summed * sweep.ROW_RECORD))
            sweep_rows(kinds, ring, ends, target, span, along_x, plan)

    return device(rename(sweep_job, f"sweep_job_{code}"))


@register("conv_sweep.conv", parallel=True)
def make_conv_sweep(real: Any, lanes: int, rows: int, tail_rows: int, columns: int, code: int) -> Any:
    """Make the kernel of blocks of `rows` (or, at the end of a row, `tail_rows`) vectors x `columns` outputs.

    Sums along each axis run over the taps in order, from zero, by fused multiply-adds. Threads take jobs from a counter
    and use part i of `scratch` each. `vectors` holds, channel by channel, the taps along d, h and w, each backwards.
    `code` is that of an activation to apply to what was just stored, or 0: bounds and slopes are applied in registers.
    """
    kinds = (
        Block(real, lanes, rows, columns), Block(real, lanes, tail_rows, columns),
        Block(real, lanes, 8, 1), Block(real, lanes, 4, 1),
    )  # fmt: skip
    kind, tail, wide, small = kinds
    sweep_job = _make_job(real, code)

    def conv(x: Any, vectors: Any, table: Any, out: Any, tables: Any, scratch: Any, plan: Any) -> None:
        for slot in prange(plan[at.THREADS]):
            counter = pointer(plan, at.NEXT)
            arrays = (
                pointer(x, plan[at.X_START]), pointer(vectors, 0), pointer(table, 0),
                pointer(out, plan[at.OUT_START]), pointer(scratch, 0),
            )  # fmt: skip
            job = next_job(counter)
            while job < plan[at.JOBS]:
                sweep_job((kind, tail, wide, small), arrays, pointer(tables, 0), plan, job, slot)
                job = next_job(counter)

    reals, ints = flat(real), flat(int64, writable=True)
    written = flat(real, writable=True)
    return conv, void(reals, reals, reals, written, ints, written, ints)

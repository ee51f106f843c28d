"""The int64 record that tells a convolution kernel where to read, write and stop: names of its places, and its maker.

Kernels read it by these module-level numbers, which numba freezes. Knows nothing of weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

X_START, X_C, X_Z, X_Y, X_X = range(5)
OUT_START, OUT_C, OUT_Z, OUT_Y, OUT_X = range(5, 10)
N_Z, N_Y, N_X = range(10, 13)
PRODUCTS, SPLIT = 13, 14  # products a sum has (taps x group's inputs), and how many are taken at a time
GROUP_INPUTS, GROUP_OUTPUTS, BLOCKS = 15, 16, 17  # BLOCKS: output blocks a group
AFFINE, MODE = 18, 19  # epilogue in registers: scale and shift, then NONE, CLIP or SLOPE
THREADS, JOBS, PER_JOB, NEXT = 20, 21, 22, 23  # NEXT counts the jobs given out
ALL_BLOCKS, BLOCKS_A_JOB = 24, 25  # output blocks of all groups; how many of them a job computes
WHOLE = 26  # voxels of a row that go into full blocks; the rest into smaller ones
ACTIVATE = 27  # whether an activation is applied to what was stored
RUNS, RUNS_START = 28, 29  # `conv_rows`: runs of shared loads, and where they lie in its tables
ROW_BLOCKS, ROW_STARTS = 30, 31  # blocks of rows, and where the list of their first rows lies
SPACING, ROW_STEP, GROUP_WEIGHTS = 32, 33, 34  # rows from one row of a block to the next; in elements; weights a group
HINTS = 35  # `conv_first`: where the list of lines to fetch ahead lies
TILES_Z, TILES_Y, TILES_X, TILES, STRIP = range(36, 41)  # `conv_winograd`: tiles an axis, in all, and a job
CHUNKS, OUT_VECTORS = 41, 42  # vectors of input and of output channels
VALUES_STEP, PRODUCTS_STEP, SLOT = 43, 44, 45  # scratch: elements from point to point, and a thread
HALO, TAP_STEP, SHIFTS = 46, 47, 48  # `conv_pairs`: voxels read behind a segment, a tap along w, list of products
TAPS_H, TAP_STEP_H, RING = 49, 50, 51  # taps along h, rows from one to the next, transformed rows kept
LENGTH_W, SEGMENT, SEGMENTS, SEGMENTS_START = 52, 53, 54, 55  # elements a row of inputs and of products; a row's pieces
ROW_PARTS, ROOM = 56, 57  # jobs along h; where each thread lists its products
WEIGHTS_STEP, DIRECT_STEP, POINT_STEP = 58, 59, 60  # elements an output block, an output channel, a point
AHEAD, AHEAD_LINES, LINE = 62, 63, 64  # how far ahead inputs are fetched, lines of each voxel, elements of a line
RECORDS = 65  # `conv_phases`: where the blocks' records lie
BAND = 66  # `conv_depthwise`: rows of a job
READ_LINES, WRITE_LINES = 67, 68  # `conv_pairs`: lines that the products of a point fetch
SHARED = 69  # `conv_winograd`: whether a tile's last two columns of inputs are the next tile's first two
RESIDUAL_START, RESIDUAL_C, RESIDUAL_Z, RESIDUAL_Y, RESIDUAL_X = range(70, 75)
RESIDUAL_LAST = 75  # whether it is added after the activation
RESIDUAL_ROWS = 76  # `conv_rows`: elements from one row of a block to the next
RESIDUAL_TABLES = 77  # `conv_winograd`, `conv_pairs`: where the tables of its places lie
WIDTH_Z, WIDTH_Y, WIDTH_X = range(78, 81)  # `conv_minimal`: offsets of a tile, inputs and then outputs
INPUTS_Z, INPUTS_Y, INPUTS_X = range(81, 84)  # how many of them are inputs
DEPTHS, DEPTHS_START, TERMS_STARTS, TERMS, DIRECT = range(84, 89)  # points along z; where the lists of its filters lie
VALUES_PLANE, WEIGHTS_PLANE = 89, 90  # elements from one value, and from one weight, along z to the next
TAPS_Y, TAPS_X, POINTS, PLANES = 91, 92, 93, 94  # taps along h and w; points along both; planes of values kept
BEFORE = 95  # `conv_pairs`: elements read before a row's first tap
LENGTH = 96

NONE, CLIP, SLOPE = range(3)
BIAS, SCALE, SHIFT, LOW, HIGH = range(5)  # rows of the epilogue's table; LOW also holds slopes
TABLE_ROWS = 5


def fill_steps(
    plan: np.ndarray, x_start: int, x_steps: Sequence[int], out_start: int, out_steps: Sequence[int], box: Sequence[int]
) -> None:
    """Write starts, steps (c, z, y, x; elements) and the box (z, y, x; voxels) into `plan`."""
    plan[X_START] = x_start
    plan[X_C : X_X + 1] = x_steps
    plan[OUT_START] = out_start
    plan[OUT_C : OUT_X + 1] = out_steps
    plan[N_Z : N_X + 1] = box


def fill_residual(plan: np.ndarray, start: int, steps: Sequence[int], last: bool) -> None:
    """Write start, steps (c, z, y, x; elements) of what is added, and whether after the activation, into `plan`."""
    plan[RESIDUAL_START] = start
    plan[RESIDUAL_C : RESIDUAL_X + 1] = steps
    plan[RESIDUAL_LAST] = last

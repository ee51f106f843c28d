"""Which loads several output rows of a convolution can share: pure index arithmetic for `conv_rows`, without numba.

An input row serves several output rows, each under another tap; this makes the list of what a block of rows loads,
in an order in which every row meets its own taps in theirs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
ROWS = 2
FARTHEST = 16
"""Rows of a block may lie this far apart (they do where taps are dilated)."""


class Sharing(NamedTuple):
    """Which inputs a block of rows loads, and what each row does with them.

    Attributes
    ----------
    spacing : int
        Output rows from one row of the block to the next.
    along_z : bool
        Whether the block's rows are neighbours along z, else y.
    loads : (L,) int64 array
        Offsets of the inputs from the first row's voxel, tap by tap.
    runs : (N, 4) int64 array
        Consecutive loads used by the same rows: first row, end of rows, first load, end of loads.
    taps : (L, ROWS) int array
        The tap that each row takes a load with; -1 where it takes none.
    """

    spacing: int
    along_z: bool
    loads: Array
    runs: Array
    taps: Array


def share_rows(taps: Array, steps: tuple[int, int], box: tuple[int, int]) -> Sharing:
    """Return how a block of rows shares its loads.

    Each row takes the taps in order. Taps that do not ascend share nothing, but stay right.

    Parameters
    ----------
    taps : (T,) int64 array
        Offsets of the taps.
    steps : 2 ints
        Elements from one output voxel's input to that of its neighbour along z and y.
    box : 2 ints
        Output voxels along z and y.
    """
    choices = [(steps[1] * n, n, False) for n in range(1, min(FARTHEST + 1, box[1]))]
    choices += [(steps[0] * n, n, True) for n in range(1, min(FARTHEST + 1, box[0]))]
    choices = [choice for choice in choices if choice[0] > 0] or [(steps[1], 1, False)]
    shared = [int(np.isin(taps + step, taps).sum()) for step, _, _ in choices]
    step, spacing, along_z = choices[int(np.argmax(shared))]
    places = taps[:, None] + step * np.arange(ROWS)
    if step > 0 and np.all(np.diff(taps) > 0):
        loads, where = np.unique(places, return_inverse=True)
        used = np.full((len(loads), ROWS), -1)
        used[where.reshape(places.shape), np.arange(ROWS)] = np.arange(len(taps))[:, None]
    else:
        loads = places.T.ravel()
        used = np.full((ROWS, len(taps), ROWS), -1)
        used[np.arange(ROWS), :, np.arange(ROWS)] = np.arange(len(taps))
        used = used.reshape(-1, ROWS)
    # Two rows: those that use a load are neighbours. (Four rows load less, but need ten loops compiled, not three.)
    spans = np.column_stack([used[:, 0] < 0, 1 + (used[:, 1] >= 0)])
    ends = np.flatnonzero(np.any(spans[1:] != spans[:-1], 1)) + 1
    starts = np.concatenate([[0], ends])[: len(loads)]
    stops = np.concatenate([ends, [len(loads)]])[: len(loads)]
    runs = np.column_stack([spans[starts], starts, stops]) if len(loads) else np.zeros((0, 4))
    return Sharing(spacing, along_z, loads.astype(np.int64), runs.astype(np.int64), used)


def pack_shared(sharing: Sharing, weights: Array) -> Array:
    """Return weights (G, C, T) as (G, P): load by load, channel by channel, a value for each row that uses the load."""
    parts = []
    for low, high, first, stop in sharing.runs:
        chosen = weights[:, :, sharing.taps[first:stop, low:high]]
        parts.append(chosen.transpose(0, 2, 1, 3).reshape(len(weights), -1))
    return np.concatenate(parts, 1) if parts else np.zeros((len(weights), 0), weights.dtype)

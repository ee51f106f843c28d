"""Renames labels."""

from __future__ import annotations

import numpy as np

from ...ops.remap import Remap
from .base import Labels, blocks


def work_bytes(itemsize: int) -> int:  # noqa: ARG001
    """Return the bytes a voxel that `change` works in, at most: it goes block by block."""
    return 0


def change(op: Remap, labels: Labels) -> None:
    """Replace labels by others; those must fit the type of `labels`."""
    most = int(labels.max(initial=0))
    table = np.arange(most + 1, dtype=labels.dtype)
    for old, new in op.labels:
        if old <= most:
            table[old] = new
    flat = labels.reshape(-1)
    for block in blocks(flat.size):
        flat[block] = table[flat[block]]

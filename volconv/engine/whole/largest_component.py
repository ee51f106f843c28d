"""Keeps the largest component of every label."""

from __future__ import annotations

import numpy as np

from ...ops.largest_component import LargestComponent
from .base import COMPONENT_BYTES, Labels, blocks, count_parts, find_components

_COUNTING_BYTES = 40
"""Component numbers, and what is kept of each component where every voxel is one."""


def work_bytes(itemsize: int) -> int:  # noqa: ARG001
    """Return the bytes a voxel that `change` works in, at most."""
    return max(COMPONENT_BYTES, _COUNTING_BYTES)


def change(op: LargestComponent, labels: Labels) -> None:
    """Set to 0 what is not in the largest component of its label; of equal ones the first voxel's order decides."""
    parts, count = find_components(labels, op.connectivity)
    if count == 0:
        return
    flat, numbers = labels.reshape(-1), parts.reshape(-1)
    sizes = count_parts(parts, count)
    first = np.full(count + 1, flat.size, np.int64)
    for block in blocks(flat.size):
        np.minimum.at(first, numbers[block], np.arange(block.start, block.stop))
    first[0] = 0  # the background is none of them: where there is none, no voxel stands for it
    label = flat[first]
    largest = np.zeros(int(label.max()) + 1, np.int64)
    np.maximum.at(largest, label[1:], sizes[1:])
    ties = 1 + np.flatnonzero(sizes[1:] == largest[label[1:]])
    foremost = np.full(len(largest), flat.size, np.int64)
    np.minimum.at(foremost, label[ties], first[ties])
    keep = np.zeros(count + 1, np.bool_)
    keep[ties] = first[ties] == foremost[label[ties]]
    for block in blocks(flat.size):
        flat[block][~keep[numbers[block]]] = 0

"""Fills the holes of every label.

Parts of the background that reach no border are looked up in the holes of each label: the components, through faces,
of everything else inside the label's bounding box that reach none of the box's sides. The smallest hole that holds a
part of the background is that of the innermost label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ops.fill_holes import FillHoles
from .base import COMPONENT_BYTES, Labels, blocks, count_parts, find_components

_FACES = 6
Box = tuple[slice, ...]


def work_bytes(itemsize: int) -> int:  # noqa: ARG001
    """Return the bytes a voxel that `change` works in, at most: components twice, and a mask."""
    return COMPONENT_BYTES + 4 + 1


def change(op: FillHoles, labels: Labels) -> None:  # noqa: ARG001
    """Give the background in holes the label around it."""
    background, count = find_components(labels == 0, _FACES)
    wide = tuple(n > 1 for n in labels.shape)
    closed = np.ones(count + 1, np.bool_)
    closed[0] = False
    closed[_on_sides(background, wide)] = False
    if not closed.any():
        return
    smallest = np.full(count + 1, labels.size + 1, np.int64)
    fill = np.zeros(count + 1, labels.dtype)
    for label, box in find_boxes(labels).items():
        inside = background[box]
        if any(closed[plane].any() for plane in inside):
            _look_up(label, labels[box], inside, closed, wide, smallest, fill)
    flat, numbers = labels.reshape(-1), background.reshape(-1)
    for block in blocks(flat.size):
        flat[block] += fill[numbers[block]]  # what is filled was 0


def _look_up(
    label: int,
    labels: Labels,
    background: NDArray[Any],
    closed: NDArray[np.bool_],
    wide: tuple[bool, ...],
    smallest: NDArray[np.int64],
    fill: NDArray[Any],
) -> None:
    """Note `label` for each part of the background in one of its holes that is smaller than what was noted."""
    parts, count = find_components(labels != label, _FACES)
    sizes = count_parts(parts, count)
    sizes[_on_sides(parts, wide)] = 0  # no holes
    for plane, numbers in zip(background, parts, strict=True):
        inside = closed[plane]
        # all voxels of a part lie in one hole, so it does not matter which of them speaks last
        part, size = plane[inside], sizes[numbers[inside]]
        better = (size > 0) & (size < smallest[part])
        smallest[part[better]], fill[part[better]] = size[better], label


def _on_sides(parts: NDArray[Any], wide: tuple[bool, ...]) -> NDArray[Any]:
    """Return the numbers on the first and the last plane of each axis along which the volume is `wide`."""
    sides = [np.take(parts, [0, -1], axis).reshape(-1) for axis in range(3) if wide[axis]]
    return np.unique(np.concatenate(sides)) if sides else np.zeros(0, parts.dtype)


def find_boxes(labels: Labels) -> dict[int, Box]:
    """Return the bounding box of every label that there is, less 0, by rising label."""
    spans = []
    for axis in range(3):
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for place in range(labels.shape[axis]):
            for label in _labels_in(np.take(labels, place, axis)):
                first.setdefault(label, place)
                last[label] = place
        spans.append({label: slice(first[label], last[label] + 1) for label in first})
    return {label: tuple(span[label] for span in spans) for label in sorted(spans[0]) if label}


def _labels_in(plane: Labels) -> list[int]:
    many = plane.itemsize > 2  # too many to count each
    return [int(n) for n in (np.unique(plane) if many else np.flatnonzero(np.bincount(plane.reshape(-1))))]

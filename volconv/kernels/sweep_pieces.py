"""How large a piece of a volume `conv_sweep` works on at a time. Knows nothing of numba."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalog import ConvKernel, ConvShape

_SWEEP_BYTES = 3 << 18  # rows a thread keeps: with inputs and outputs they stay in the second-level cache


@dataclass(frozen=True)
class SweepPiece:
    """A thread's working memory while it computes a piece of `planes` x `voxels` outputs of every row.

    Attributes
    ----------
    planes, voxels : int
        Outputs along d and w.
    kept : int
        Input rows kept: those of a step of `width` output planes.
    row, plane : int
        Elements a row takes, and the ring of a plane's rows summed along d.
    line : int
        Elements a row summed along h takes.
    elements : int
        All of it: rings, input rows, rows summed along h.
    """

    planes: int
    voxels: int
    kept: int
    row: int
    plane: int
    line: int
    elements: int


def sweep_piece(kernel: ConvKernel, shape: ConvShape, planes: int, voxels: int) -> SweepPiece:
    """Return what a piece of `planes` x `voxels` outputs takes."""
    d, h, w = shape.lengths
    vectors = -(-(voxels + w - 1) // kernel.lanes)
    # an odd number of vectors, since rows a power of two apart would share a few cache sets
    row = (-(-vectors // kernel.tail) * kernel.tail | 1) * kernel.lanes
    line = (vectors + 9 | 1) * kernel.lanes  # blocks of 8 vectors read beyond the last voxel
    planes = -(-planes // kernel.width) * kernel.width
    kept, plane = d - 1 + kernel.width, (h - 1 + kernel.width | 1) * row
    elements = planes * plane + kept * row + kernel.width * line
    return SweepPiece(planes, voxels, kept, row, plane, line, elements)


def sweep_elements(kernel: ConvKernel, shape: ConvShape) -> int:
    """Return the elements of working memory a thread has for a factored filter."""
    least = sweep_piece(kernel, shape, 2 * kernel.width, max(4 * kernel.lanes, shape.lengths[2] // 2))
    return max(least.elements, _SWEEP_BYTES // shape.itemsize)

"""The chunks of an HDF5 output: their shape, and HDF5's Fletcher-32 checksum. Pure arithmetic."""

from __future__ import annotations

from math import ceil, prod

import numpy as np

from ..geometry import Triple

CHUNK_VOXELS = 64**3
"""Voxels of one channel in a chunk, at most: 1 MiB of float32, cheap to read for windows of any shape."""

CHECKSUM_BYTES = 4
_ROW = 4096
_MODULUS = 0xFFFF


def chunk_shape(shape: Triple) -> Triple:
    """Return the chunk's shape for a volume of `shape`: about cubic, whole axes where they are short.

    Long axes are cut into equal parts, so that the last chunk of an axis pads it by less than one voxel a chunk.
    """
    out = [0, 0, 0]
    free = [0, 1, 2]
    while free:
        edge = _root(CHUNK_VOXELS // prod(n for n in out if n), len(free))
        short = [axis for axis in free if shape[axis] <= edge]
        for axis in short or free:
            out[axis] = shape[axis] if short else ceil(shape[axis] / ceil(shape[axis] / edge))
        free = [axis for axis in free if axis not in short] if short else []
    return (out[0], out[1], out[2])


def _root(value: int, degree: int) -> int:
    """Return the largest integer whose power of `degree` is at most `value` (no float: 64 must be 64 everywhere)."""
    guess: int = max(1, round(value ** (1 / degree)))
    while guess**degree > value:
        guess -= 1
    return max(1, guess)


def fletcher32(data: bytes | bytearray | memoryview) -> bytes:
    """Return the checksum HDF5's Fletcher-32 filter puts behind a chunk.

    With big-endian 16-bit words w_0 ... w_(n-1) (an odd last byte is a word's high half), modulo 65535::

        sum1 = Σ w_i        sum2 = Σ (n - i)·w_i

    where 65535 stands for 0 unless all words are 0 (H5_checksum_fletcher32 folds carries, it does not divide).
    Swapping a word's bytes multiplies it by 256 modulo 65535, so that words are summed as they lie and corrected at
    the end; two sums of 3 GB/s, against 0.3 GB/s word by word.
    """
    if len(data) % 2:
        data = bytes(data) + b"\0"
    words = np.frombuffer(data, "<u2")
    count = len(words)
    whole = count // _ROW * _ROW
    table = words[:whole].reshape(-1, _ROW)
    rows = table.sum(axis=1, dtype=np.uint64)
    columns = table.sum(axis=0, dtype=np.uint64)
    tail = words[whole:].astype(np.uint64)
    total = int(rows.sum()) + int(tail.sum())
    # Σ i·w_i over table and tail; fits 64 bits for any chunk below 4 GiB row by row, then Python's integers.
    moment = _ROW * _dot(rows) + _dot(columns) + whole * int(tail.sum()) + _dot(tail)
    sum1 = _fold(total * 256)
    sum2 = _fold((count * total - moment) * 256)
    return ((sum2 << 16) | sum1).to_bytes(CHECKSUM_BYTES, "little")


def _dot(values: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> int:
    """Return Σ i·values_i modulo 65535 without overflow."""
    return int(((values % _MODULUS) * (np.arange(len(values), dtype=np.uint64) % _MODULUS) % _MODULUS).sum())


def _fold(value: int) -> int:
    """Return `value` modulo 65535 as end-around carries leave it: 65535, not 0, for a multiple that is not 0."""
    return (value - 1) % _MODULUS + 1 if value else 0

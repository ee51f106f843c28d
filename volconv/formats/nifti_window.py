"""Reads boxes of voxels out of a NIfTI file's bytes, a block at a time, and turns them into values.

  i ->  row of nx voxels           a box takes part of each row; what lies between its parts is read along
j  +---------+                     where that is cheaper than one more call to the system
|  |  ####   |
v  |  ####   |   plane of ny rows, then k planes, then volumes
   +---------+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..geometry import Triple
from ..region import Region
from .rounding import exceeds_float64
from .turned import PLANES, TILE_BYTES, fill_turned, is_turned

BLOCK_BYTES = 1 << 20
BLOCK_VOXELS = 1 << 18
BUFFER_BYTES = BLOCK_BYTES + 8 * BLOCK_VOXELS + TILE_BYTES
"""Memory that reading takes at most, whatever the box: a block of raw bytes, its voxels as float64, a tile to turn."""

_WORTH_A_CALL = 1 << 14
"""Bytes that take about as long to copy from the page cache as one more `preadv` takes from Python."""


class ByteStore(Protocol):
    """Where a file's bytes can be read from by position."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` from `offset`."""


@dataclass(frozen=True)
class Scaling:
    """How stored numbers become values: ``float64(stored) * slope + intercept``, rounded once."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether stored numbers are the values."""
        return self.slope == 1.0 and self.intercept == 0.0


@dataclass(frozen=True)
class Grid:
    """An (i, j, k) volume in a file: voxels along each axis and the stored type."""

    ijk: Triple
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """From one row to the next."""
        return self.ijk[0] * self.dtype.itemsize

    @property
    def plane_bytes(self) -> int:
        """From one plane to the next."""
        return self.ijk[1] * self.row_bytes

    @property
    def volume_bytes(self) -> int:
        """From one volume to the next."""
        return self.ijk[2] * self.plane_bytes

    def offset(self, kji: tuple[int, ...]) -> int:
        """Return the byte of a voxel, from the volume's first."""
        return kji[0] * self.plane_bytes + kji[1] * self.row_bytes + kji[2] * self.dtype.itemsize


class WindowReader:
    """Reads boxes of one file; holds the buffers between boxes' blocks.

    Parameters
    ----------
    store : ByteStore or array
        The file's bytes, or all voxels in memory (uint8, from the first voxel on).
    first : int
        Byte of the first voxel in `store`.
    """

    def __init__(self, store: ByteStore | NDArray[np.uint8], first: int, grid: Grid, scaling: Scaling) -> None:
        self.store = store
        self.first = first
        self.grid = grid
        self.scaling = scaling
        self.overflowed = False
        self.rounded = False

    def read(self, volume: int, box: Region, out: NDArray[Any]) -> None:
        """Read `box` (k, j, i) of the file's `volume`-th volume into `out`, indexed (k, j, i) too."""
        start = self.first + volume * self.grid.volume_bytes
        memory = self.store if isinstance(self.store, np.ndarray) else None
        buffer = np.empty(BLOCK_BYTES if memory is None else 0, dtype=np.uint8)
        spare = np.empty(min(BLOCK_VOXELS, box.size), dtype=np.float64) if self.needs_spare(out.dtype) else None
        turned = is_turned(out)
        for block in box.split(self.block_shape(box.shape, PLANES if turned else 1)):
            raw = self.fetch(start, block, buffer) if memory is None else self.view(start, block, memory)
            part = out[block.slices(box.start)]
            if turned:
                self.convert_turned(raw, part, spare)
            else:
                self.convert(raw, part, spare)

    def block_shape(self, shape: tuple[int, ...], planes: int = 1) -> tuple[int, int, int]:
        """Return the (k, j, i) shape of the blocks that a box of `shape` is read in, `planes` of it at least."""
        size = self.grid.dtype.itemsize
        limit = min(BLOCK_BYTES, BLOCK_VOXELS * size)
        room = limit // min(planes, shape[0])
        ni = max(1, min(shape[2], room // size))
        nj = max(1, min(shape[1], (room - ni * size) // self.row_pitch(ni) + 1))
        span = (nj - 1) * self.row_pitch(ni) + ni * size
        nk = max(1, min(shape[0], (limit - span) // self.plane_pitch(nj, ni) + 1))
        return nk, nj, ni

    def row_pitch(self, ni: int) -> int:
        """Return the bytes between rows of a block in memory: those of the file where the gap is read along."""
        packed = ni * self.grid.dtype.itemsize
        return self.grid.row_bytes if self.grid.row_bytes - packed <= _WORTH_A_CALL else packed

    def plane_pitch(self, nj: int, ni: int) -> int:
        """Return the bytes between planes of a block in memory, likewise."""
        packed = (nj - 1) * self.row_pitch(ni) + ni * self.grid.dtype.itemsize
        along = self.row_pitch(ni) == self.grid.row_bytes and self.grid.plane_bytes - packed <= _WORTH_A_CALL
        return self.grid.plane_bytes if along else packed

    def fetch(self, start: int, block: Region, buffer: NDArray[np.uint8]) -> NDArray[Any]:
        """Read `block` into `buffer` in as few calls as its gaps allow; return it as (k, j, i)."""
        nk, nj, ni = block.shape
        size, memory = self.grid.dtype.itemsize, buffer.data
        row, plane = self.row_pitch(ni), self.plane_pitch(nj, ni)
        rows_along = row == self.grid.row_bytes or nj == 1
        planes_along = plane == self.grid.plane_bytes or nk == 1
        calls_k = 1 if rows_along and planes_along else nk
        calls_j = 1 if rows_along else nj
        last_j = (nj if calls_j == 1 else 1) - 1
        last_k = (nk if calls_k == 1 else 1) - 1
        count = last_k * plane + last_j * row + ni * size
        for k in range(calls_k):
            for j in range(calls_j):
                at = start + self.grid.offset((block.start[0] + k, block.start[1] + j, block.start[2]))
                here = k * plane + j * row
                self.store.read_into(at, memory[here : here + count])  # type: ignore[union-attr]
        return np.ndarray(block.shape, self.grid.dtype, buffer, 0, (plane, row, size))

    def view(self, start: int, block: Region, memory: NDArray[np.uint8]) -> NDArray[Any]:
        """Return `block` of voxels that lie in memory, without copying."""
        strides = (self.grid.plane_bytes, self.grid.row_bytes, self.grid.dtype.itemsize)
        at = start + self.grid.offset(block.start)
        return np.ndarray(block.shape, self.grid.dtype, memory, at, strides)

    def needs_spare(self, out: np.dtype[Any]) -> bool:
        """Whether values pass through a float64 copy, so that they are rounded once."""
        wide = self.grid.dtype.kind in "iu" and self.grid.dtype.itemsize == 8 and out == np.float32
        return bool(self.scaling.intercept != 0.0 or (self.scaling.is_identity and wide))

    def convert(self, raw: NDArray[Any], out: NDArray[Any], spare: NDArray[np.float64] | None) -> None:
        """Write the values of `raw` into `out`; `spare` holds at least as many float64."""
        self.rounded |= exceeds_float64(raw, out.dtype)
        with np.errstate(over="call", invalid="ignore", under="ignore", call=self._note_overflow):
            if spare is None and self.scaling.is_identity:
                np.copyto(out, raw, casting="unsafe")
                return
            if spare is None:
                np.multiply(raw, self.scaling.slope, out=out, dtype=np.float64, casting="unsafe")
                return
            values = spare[: raw.size].reshape(raw.shape)
            np.multiply(raw, self.scaling.slope, out=values, dtype=np.float64, casting="unsafe")
            values += self.scaling.intercept
            np.copyto(out, values, casting="unsafe")

    def convert_turned(self, raw: NDArray[Any], out: NDArray[Any], spare: NDArray[np.float64] | None) -> None:
        """Write the values of `raw` into `out`, whose fastest axis is k."""
        fill_turned(out, lambda where, tile: self.convert(raw[where], tile, spare))

    def _note_overflow(self, *_: object) -> None:
        self.overflowed = True

"""A volume that is written window by window and read again: in memory, or in a nameless file of the scratch folder."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..region import Region
from ..volume import VolumeInfo
from .scratch_file import ScratchFile


class StoredVolume:
    """Voxels on their way, as a source whose windows were written before.

    Parameters
    ----------
    info : VolumeInfo
        One volume, not scaled.
    scratch : Path or None
        Folder of the file; None: in memory.
    name : str
        Of what it becomes, for messages.
    """

    path: Path | None = None
    paths: tuple[Path, ...] = ()
    spool_bytes = 0

    def __init__(self, info: VolumeInfo, scratch: Path | None, name: str) -> None:
        self.info = info
        self.warnings: list[str] = []
        self._scratch = scratch
        self._name = name
        self._array: NDArray[Any] | None = None
        self._file: ScratchFile | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels."""
        return prod(self.info.shape) * self.info.channels * self.info.dtype.itemsize

    @property
    def resident_bytes(self) -> int:
        """Of them in memory."""
        return self.nbytes if self._scratch is None else 0

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` or `write` take beside their window."""
        return 0 if self._scratch is None else prod(shape[1:]) * self.info.dtype.itemsize

    def load(self, scratch: Path | None) -> None:
        """Do nothing: what was written is there."""

    def write(self, region: Region, values: NDArray[Any]) -> None:
        """Write `values` (C, d, h, w) at `region`."""
        if self._scratch is None:
            if self._array is None:
                self._array = self._allot()
            self._array[:, *region.slices()] = values
            return
        if self._file is None:
            self._file = ScratchFile(self._scratch, self.nbytes, self._name)
        for channel, part in enumerate(values):
            for offset, plane, rows in self._stretches(channel, region):
                stretch = np.ascontiguousarray(part[plane, rows], self.info.dtype)
                self._file.write(offset, stretch.reshape(-1).view(np.uint8).data)

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:  # noqa: ARG002  (one volume)
        """Read `region` (D, H, W) into `out` (C, d, h, w)."""
        if self._array is not None:
            out[...] = self._array[:, *region.slices()]
            return
        if self._file is None:
            raise RunError("a result was read before it was written")
        for channel, part in enumerate(out):
            for offset, plane, rows in self._stretches(channel, region):
                stretch = np.empty((rows.stop - rows.start, region.shape[2]), self.info.dtype)
                self._file.read_into(offset, stretch.reshape(-1).view(np.uint8).data)
                part[plane, rows] = stretch

    def _stretches(self, channel: int, region: Region) -> list[tuple[int, int, slice]]:
        """Return the byte offset, plane and rows (of the window) of each stretch that is one piece in the file."""
        depth, height, width = self.info.shape
        size = self.info.dtype.itemsize
        _, h, w = region.shape
        step = h if w == width else 1
        out = []
        for plane in range(region.shape[0]):
            for row in range(0, h, max(1, step)):
                index = (channel * depth + region.start[0] + plane) * height + region.start[1] + row
                out.append(((index * width + region.start[2]) * size, plane, slice(row, row + step)))
        return out

    def _allot(self) -> NDArray[Any]:
        try:
            return np.empty((self.info.channels, *self.info.shape), self.info.dtype)
        except (MemoryError, ValueError) as error:
            raise RunError(
                f"no memory for a result of {self.nbytes} bytes", code="memory.exhausted", file=self._name
            ) from error

    def digest(self) -> str:
        """Return nothing: it is no input."""
        return ""

    def check_unchanged(self) -> None:
        """Do nothing: nobody else knows of it."""

    def close(self) -> None:
        """Let go of memory and file; what is written next starts anew."""
        self._array = None
        file, self._file = self._file, None
        if file is not None:
            file.close()

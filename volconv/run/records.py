"""The results of tiles in the job folder, each tile's in one piece: outputs, wires kept for later phases, statistics.

A tile's results have several parts; a leg's tiles have a file a part, with one place for each tile. What is written
gets a checksum, by which what was torn is told from what stands.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..formats.disk import read_all, reserve, write_all
from ..kernels.catalog_memory import state_length
from ..numeric import compute_dtype
from ..plan.model import Plan
from .serial import Leg, list_legs

Array = NDArray[Any]
PIECE_BYTES = 1 << 20
"""Bytes that are copied at a time where values do not lie side by side."""


@dataclass(frozen=True)
class Part:
    """One part of the results of a leg's tiles.

    Attributes
    ----------
    kind : str
        ``result`` (of the output `name`), ``wire`` (`name`, kept for later phases) or ``sums`` (statistics of `name`).
    name : str
    sizes, offsets : tuple of int
        Bytes of each tile of a volume, and where they begin in the file.
    volume_bytes : int
        Of all tiles of a volume.
    """

    kind: str
    name: str
    sizes: tuple[int, ...]
    offsets: tuple[int, ...]
    volume_bytes: int


def list_parts(plan: Plan) -> tuple[Part, ...]:
    """Return the parts of the tiles of `plan`, an ordinary one or one phase."""
    dtype = compute_dtype(plan.graph.input.dtype)
    voxel = np.dtype(dtype).itemsize
    found = [("result", name, plan.graph.wire(name).channels * voxel) for name in plan.graph.outputs]
    if plan.part is not None:
        stored = {store.wire: store.channels for store in plan.stores}
        found += [("wire", name, stored[name] * voxel) for name in plan.part.keeps]
        length = state_length(dtype) * 8
        found += [("sums", name, plan.graph.wire(name).channels * length) for name in plan.part.gathers]
    sizes: list[list[int]] = [[] for _ in found]
    for tile in plan.tiles:
        for (kind, name, size), out in zip(found, sizes, strict=True):
            out.append(size if kind == "sums" else size * tile.writes[name].size)
    return tuple(
        Part(kind, name, tuple(each), (0, *accumulate(each[:-1])), sum(each))
        for (kind, name, _), each in zip(found, sizes, strict=True)
    )


def recorded_bytes(plan: Plan) -> int:
    """Return the bytes that results of tiles of `plan` take at a time, at most; wires go when none reads them."""
    kept = most = 0
    for phase in plan.phases or (plan,):
        kept += sum(part.volume_bytes for part in list_parts(phase) if part.kind != "wire")
    for number in range(len(plan.phases)):
        most = max(most, sum(s.nbytes for s in plan.stores if s.born <= number <= s.last))
    return kept * plan.batch + most


class Records:
    """The files of one leg's tiles.

    Parameters
    ----------
    folder : Path
        The job folder.
    leg : Leg
    parts : tuple of Part
        `list_parts` of the leg's plan.
    """

    def __init__(self, folder: Path, leg: Leg, parts: tuple[Part, ...]) -> None:
        self.leg = leg
        self.parts = parts
        self._folder = folder
        self._fds: dict[int, int] = {}

    def find(self, kind: str, name: str) -> int | None:
        """Return the number of a part."""
        numbers = (n for n, part in enumerate(self.parts) if (part.kind, part.name) == (kind, name))
        return next(numbers, None)

    def path(self, part: int) -> Path:
        """Return the file of a part."""
        return self._folder / f"tiles-{self.leg.batches.start}-{self.leg.number}-{part}"

    def reserve(self, part: int) -> None:
        """Make the file of a part, with room for all tiles.

        Raises
        ------
        BudgetError
            If the disk has no room.
        """
        reserve(self._open(part), self.parts[part].volume_bytes * len(self.leg.batches), str(self.path(part)))

    def write(self, part: int, tile: int, batch: int, values: Array) -> int:
        """Write one part of a tile's results, and return its checksum.

        Raises
        ------
        RunError
            If the disk fails or is full.
        """
        fd, offset, name = self._open(part), self._offset(part, tile, batch), str(self.path(part))
        checksum = 0
        for piece in _pieces(values):
            data = np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
            write_all(fd, data, offset, name)
            checksum = crc32(data, checksum)
            offset += len(data)
        return checksum

    def read(self, part: int, tile: int, batch: int, out: Array) -> None:
        """Fill `out` with one part of a tile's results."""
        fd, offset, name = self._open(part), self._offset(part, tile, batch), str(self.path(part))
        for piece in _pieces(out):
            room = piece if piece.flags.c_contiguous else np.empty(piece.shape, piece.dtype)
            data = room.reshape(-1).view(np.uint8).data
            read_all(fd, data, offset, name)
            offset += len(data)
            if room is not piece:
                piece[...] = room

    def checksum(self, part: int, tile: int, batch: int) -> int | None:
        """Return the checksum of one part of a tile's results as it lies there; None where it does not."""
        left, offset, checksum = self.parts[part].sizes[tile], self._offset(part, tile, batch), 0
        if not left:
            return 0
        if not self.path(part).exists():
            return None
        room = memoryview(bytearray(min(left, PIECE_BYTES)))
        while left:
            data = room[:left]
            try:
                read_all(self._open(part), data, offset, str(self.path(part)))
            except RunError:
                return None
            checksum = crc32(data, checksum)
            left -= len(data)
            offset += len(data)
        return checksum

    def sync(self) -> None:
        """Bring what was written to the disk."""
        for part, fd in self._fds.items():
            try:
                os.fsync(fd)
            except OSError as error:
                raise RunError(f"cannot be written: {error.strerror}", file=str(self.path(part))) from error

    def drop(self, part: int) -> None:
        """Remove the file of a part."""
        with contextlib.suppress(OSError):
            self.path(part).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all files; safe to call twice."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def _offset(self, part: int, tile: int, batch: int) -> int:
        found = self.parts[part]
        return (batch - self.leg.batches.start) * found.volume_bytes + found.offsets[tile]

    def _open(self, part: int) -> int:
        if part not in self._fds:
            path = self.path(part)
            try:
                self._fds[part] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise RunError(f"cannot be opened: {error.strerror}", file=str(path)) from error
        return self._fds[part]


def _pieces(values: Array) -> Iterator[Array]:
    """Yield parts of `values` in order, each of about `PIECE_BYTES` or a row; what lies in one piece comes whole."""
    if values.ndim <= 1 or values.nbytes <= PIECE_BYTES or values.flags.c_contiguous:
        yield values
        return
    step = PIECE_BYTES // (prod(values.shape[1:]) * values.itemsize)
    if step:
        yield from (values[n : n + step] for n in range(0, len(values), step))
        return
    for part in values:
        yield from _pieces(part)


def volumes(plan: Plan) -> Iterator[list[Leg]]:
    """Yield the legs of `plan` that belong together: all phases of one volume; of an ordinary plan the one it has."""
    legs: list[Leg] = []
    for leg in list_legs(plan):
        if legs and legs[-1].batches != leg.batches:
            yield legs
            legs = []
        legs.append(leg)
    yield legs

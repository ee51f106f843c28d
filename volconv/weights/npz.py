"""NumPy's ``.npz``: a zip archive of ``.npy`` members, each unpacked only when asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, show
from .base import TensorInfo, WeightsFormat, allocate, as_bytes, refuse_duplicate
from .npy import MAX_HEADER, NpyHeader, parse_header, to_native
from .weight_file import WeightFile
from .zip_archive import Member, is_zip, read_member, read_members


def is_npz(file: WeightFile) -> bool:
    """Whether the file is a zip archive with at least one ``.npy`` member, or none at all."""
    if not is_zip(file):
        return False
    members = read_members(file)
    return not members or any(name.endswith(".npy") for name in members)


class NpzReader:
    """An ``.npz`` file; a member ``a.weight.npy`` is the tensor ``a.weight``."""

    def __init__(self, file: WeightFile) -> None:
        self._file = file
        self._members: dict[str, tuple[Member, NpyHeader]] = {}
        for name, member in read_members(file).items():
            if not name.endswith(".npy"):
                raise WeightsError(
                    "npz: found a member that is no array, expected .npy",
                    code="weights.npy",
                    file=file.name,
                    where=name,
                )
            key = name.removesuffix(".npy").replace("/", ".")
            if key in self._members:
                refuse_duplicate(file, key)
            self._members[key] = (member, self._read_header(member))
        self.tensors: dict[str, TensorInfo] = {key: header.info for key, (_, header) in self._members.items()}

    def _read_header(self, member: Member) -> NpyHeader:
        head = bytearray()
        limit = min(128, member.size)
        for block in read_member(self._file, member, block_bytes=1024):
            head += block
            if len(head) >= 12:
                limit = 12 + int.from_bytes(head[8 : 10 if head[6] == 1 else 12], "little")
            if len(head) >= min(limit, MAX_HEADER):
                break
        return parse_header(bytes(head), member.size, self._file, show(member.name))

    def read(self, key: str) -> NDArray[Any]:
        """Return the tensor `key`, its checksum verified."""
        member, header = self._members[key]
        if member.size > 8 * self._file.size:
            # Unpacked once without being kept: a lying size must not allocate a thousand times the file.
            for _ in read_member(self._file, member):
                pass
        raw = allocate((math.prod(header.info.shape),), np.dtype(header.info.dtype), self._file, key)
        out, skip, at = as_bytes(raw), header.start, 0
        for block in read_member(self._file, member):
            part = block[skip:] if skip else block
            skip -= len(block) - len(part)
            out[at : at + len(part)] = part
            at += len(part)
        return to_native(raw, header)

    def close(self) -> None:
        """Nothing is held beside the file."""


NPZ = WeightsFormat("npz", is_npz, NpzReader)

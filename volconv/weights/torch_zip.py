"""PyTorch's zip format, since version 1.6: a pickle of descriptions, and a member of raw bytes for each storage.

Members lie under one folder, whose name is of no interest: ``*/data.pkl``, ``*/data/0``, ``*/byteorder``.
Written by ``torch.serialization._save``.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from ..errors import WeightsError, show
from .base import WeightsFormat
from .byte_sources import ByteSource, FileBytes, HeldBytes, MemberBytes
from .pickle_input import PickleInput
from .pickle_names import name_tensors
from .strided import Storage, ViewReader
from .torch_storages import parse_storage_id
from .unpickle import unpickle
from .weight_file import WeightFile
from .zip_archive import Member, is_zip, read_member, read_members


def is_torch_zip(file: WeightFile) -> bool:
    """Whether the file is a zip archive with a ``data.pkl`` and no code."""
    if not is_zip(file):
        return False
    names = list(read_members(file))
    return any(_is_pickle(name) for name in names) and not is_torch_script(names)


def is_torch_script(names: list[str]) -> bool:
    """Whether a zip archive with these members is TorchScript: a program and its constants."""
    return any(name.split("/")[-1] == "constants.pkl" or "code" in name.split("/")[:-1] for name in names)


def _is_pickle(name: str) -> bool:
    return name.split("/")[-1] == "data.pkl"


class _Archive:
    """The members of an archive, and the storages that were asked for."""

    def __init__(self, file: WeightFile) -> None:
        self.file = file
        self.members = read_members(file)
        for name in self.members:
            if ".." in name.split("/") or name.startswith("/") or "\\" in name or "\0" in name:
                self.fail(f"a member named {show(name[:120])}", "names within the archive")
        pickles = [name for name in self.members if _is_pickle(name)]
        if len(pickles) != 1:
            self.fail(f"{len(pickles)} members named data.pkl", "one")
        self.pickle_member = self.members[pickles[0]]
        self.top = pickles[0].removesuffix("data.pkl")
        self.swapped = self._read_byte_order() != sys.byteorder
        self.sources: dict[str, MemberBytes] = {}

    def fail(self, found: str, expected: str) -> NoReturn:
        raise WeightsError(
            f"PyTorch archive: found {found}, expected {expected}", code="weights.torch", file=self.file.name
        )

    def _read_byte_order(self) -> str:
        member = self.members.get(f"{self.top}byteorder")
        if member is None:  # not written before version 2.1
            return "little"
        text = b"".join(read_member(self.file, member)) if member.size < 16 else b""
        if text not in (b"little", b"big"):
            self.fail("another byte order", "little or big")
        return text.decode("ascii")

    def open_pickle(self) -> ByteSource:
        member = self.pickle_member
        if not member.deflated:
            for _ in read_member(self.file, member):  # verifies the checksum
                pass
            return FileBytes(self.file, member.start, member.size)
        if member.size > 8 * self.file.size + (1 << 16):
            self.fail(f"a data.pkl that unpacks to {member.size} bytes", "one not much larger than the file")
        return HeldBytes(b"".join(read_member(self.file, member)))

    def load_storage(self, pickle: PickleInput, parts: tuple[Any, ...]) -> Storage:
        found = parse_storage_id(pickle, parts, 5)
        member = self._find(f"{self.top}data/{found.key}", found.key)
        if member.size != found.nbytes:
            self.fail(f"{member.size} bytes in storage {show(found.key[:80])}", f"{found.nbytes}")
        source = self.sources.setdefault(found.key, MemberBytes(self.file, member))
        return Storage(found.nbytes, found.dtype, source, self.swapped)

    def _find(self, name: str, key: str) -> Member:
        if name not in self.members:
            self.fail(f"no member for storage {show(key[:80])}", "one: the archive is not complete")
        return self.members[name]


def open_torch_zip(file: WeightFile) -> ViewReader:
    """Return the reader of an archive; its pickle is gone through, its storages are not read."""
    archive = _Archive(file)
    pickle = PickleInput(archive.open_pickle(), file)
    root = unpickle(pickle, archive.load_storage)
    left = pickle.data.size - pickle.at
    if left:
        pickle.fail(f"{left} bytes behind its end", "none; they were not run")
    return ViewReader(file, name_tensors(pickle, root))


TORCH_ZIP = WeightsFormat("PyTorch", is_torch_zip, open_torch_zip)

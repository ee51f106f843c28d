"""PyTorch's format before version 1.6: five pickles in a row, then the numbers of each storage.

The pickles are a magic number, the format's version, facts about the machine, the object, and the storages' keys in
the order of their numbers. Numbers are little-endian, each storage's behind its 64-bit number of elements. Written by
``torch.serialization._legacy_save``.
"""

from __future__ import annotations

import sys
from typing import Any

from ..errors import show
from .base import WeightsFormat
from .byte_sources import FileBytes
from .pickle_input import PickleInput
from .pickle_names import name_tensors
from .strided import ITEM_BYTES, Storage, ViewReader
from .torch_storages import StorageId, parse_storage_id
from .unpickle import unpickle
from .weight_file import WeightFile

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
_MAGIC_BYTES = b"\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."


def is_torch_legacy(file: WeightFile) -> bool:
    """Whether the first pickle is PyTorch's magic number, in whatever protocol."""
    return file.head[:1] == b"\x80" and _MAGIC_BYTES in file.head[2:32]


class _Storages:
    """The storages a file speaks of, before it is known where their numbers lie."""

    def __init__(self) -> None:
        self.ids: dict[str, StorageId] = {}
        self.roots: dict[str, Storage] = {}
        self.views: list[tuple[Storage, str, int]] = []

    def load(self, pickle: PickleInput, parts: tuple[Any, ...]) -> Storage:
        found = parse_storage_id(pickle, parts, 6)
        known = self.ids.setdefault(found.key, found)
        if (known.dtype, known.nbytes) != (found.dtype, found.nbytes):
            pickle.fail(f"two descriptions of storage {show(found.key[:80])} that differ", "equal ones")
        root = self.roots.setdefault(found.key, Storage(found.nbytes, found.dtype, None, sys.byteorder == "big"))
        if found.rest[0] is None:
            return root
        return self._add_view(pickle, root, found)

    def _add_view(self, pickle: PickleInput, root: Storage, found: StorageId) -> Storage:
        """Return a part of a storage: the sixth part of an id in files of the first versions."""
        view = found.rest[0]
        if not isinstance(view, tuple) or len(view) != 3 or any(type(n) is not int or n < 0 for n in view[1:]):
            pickle.fail("a view of a storage of other parts", "name, start and number of elements")
        start, nbytes = (n * ITEM_BYTES[root.dtype or "uint8"] for n in view[1:])
        if start + nbytes > root.nbytes:
            pickle.fail(f"a view that ends at byte {start + nbytes} of its storage", f"one within its {root.nbytes}")
        out = Storage(nbytes, root.dtype, None, root.swapped)
        self.views.append((out, found.key, start))
        return out

    def place(self, pickle: PickleInput, keys: Any) -> None:
        """Find where the numbers lie, from the keys in the file's order; every byte must be accounted for."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            pickle.fail("other things than keys", "the keys of the storages")
        if sorted(keys) != sorted(self.roots):
            pickle.fail(f"{len(keys)} storages listed", f"the {len(self.roots)} that tensors speak of")
        starts = {}
        for key in keys:
            nbytes = self.roots[key].nbytes
            numel = pickle.number(8, signed=True)
            if numel * ITEM_BYTES[self.ids[key].dtype or "uint8"] != nbytes:
                pickle.fail(f"{numel} elements in storage {show(key[:80])}", f"{nbytes} bytes")
            starts[key] = pickle.skip(nbytes).start
            self.roots[key].source = FileBytes(pickle.file, starts[key], nbytes)
        if pickle.at != pickle.data.size:
            pickle.fail(f"{pickle.data.size - pickle.at} bytes behind the last storage", "none; they were not run")
        for view, key, start in self.views:
            view.source = FileBytes(pickle.file, starts[key] + start, view.nbytes)


def open_torch_legacy(file: WeightFile) -> ViewReader:
    """Return the reader; the pickles are gone through, the numbers are not read."""
    pickle = PickleInput(FileBytes(file, 0, file.size), file)
    storages = _Storages()
    if unpickle(pickle) != MAGIC or unpickle(pickle) != VERSION:
        pickle.fail("another magic number or version", f"PyTorch's and {VERSION}")
    # Facts about the machine that wrote the file; its numbers are little-endian whatever they say.
    unpickle(pickle)
    root = unpickle(pickle, storages.load)
    storages.place(pickle, unpickle(pickle))
    return ViewReader(file, name_tensors(pickle, root))


TORCH_LEGACY = WeightsFormat("PyTorch (before 1.6)", is_torch_legacy, open_torch_legacy)

"""Weights as files of raw little-endian numbers and a JSON document that describes them; either may be opened.

- TensorFlow.js: ``model.json`` and its shards. Kernels have Keras's order of axes.
- MeshNet: a list of layers, and one file.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from .base import TensorInfo, WeightsFormat, allocate, make_dtype
from .byte_sources import ByteSource, PartOf
from .meshnet_layers import has_layers, read_layers
from .meter import Meter
from .raw_files import find_document, find_sources
from .raw_manifest import Entry, Manifest, make_table
from .strided import ITEM_BYTES, Storage, View, make_strides, read_view
from .tfjs_manifest import has_manifest, read_manifest
from .weight_file import WeightFile

_BLOCK = 1 << 16
_TENSOR_BYTES = 900
"""Memory that the description of one tensor takes, about."""


class RawReader:
    """The tensors of a manifest, in its order."""

    def __init__(self, file: WeightFile, manifest: Manifest, sources: list[ByteSource]) -> None:
        self._file = file
        self._views: dict[str, tuple[Entry, View]] = {}
        self.tensors: dict[str, TensorInfo] = {}
        meter = Meter(file, "manifest")
        meter.allow(sum(source.size for source in sources))
        for group, source in zip(manifest, sources, strict=True):
            start = 0
            for entry in group.entries:
                meter.spend(_TENSOR_BYTES)
                self._add(entry, PartOf(source, start, entry.stored_bytes))
                start += entry.stored_bytes

    def _add(self, entry: Entry, source: ByteSource) -> None:
        storage = Storage(source.size, entry.stored, source, sys.byteorder == "big")
        self._views[entry.name] = entry, View(storage, entry.stored, entry.shape, make_strides(entry.shape))
        self.tensors[entry.name] = TensorInfo(
            entry.shape, entry.dtype, math.prod(entry.shape) * ITEM_BYTES[entry.dtype]
        )

    def read(self, key: str) -> NDArray[Any]:
        """Return the tensor `key`, as the numbers it was quantised from where it is."""
        entry, view = self._views[key]
        stored = read_view(view, self._file, key)
        if entry.stored == entry.dtype:
            return stored
        out = allocate(entry.shape, make_dtype(entry.dtype), self._file, key)
        if entry.affine is None:
            out[...] = stored
            return out
        table = make_table(entry)
        codes, flat = stored.reshape(-1), out.reshape(-1)
        # Block by block: the codes become indices of eight bytes.
        for at in range(0, codes.size, _BLOCK):
            np.take(table, codes[at : at + _BLOCK], out=flat[at : at + _BLOCK], mode="clip")
        return out

    def close(self) -> None:
        """The files belong to the one that was opened and are closed with it."""


def is_document(path: Path) -> bool:
    """Whether the file `path` is a JSON document of either kind."""
    file = WeightFile(path)
    try:
        return has_manifest(file) or has_layers(file)
    finally:
        file.close()


@dataclass(frozen=True)
class _Kind:
    """A kind of document."""

    matches: Callable[[WeightFile], bool]
    read: Callable[[WeightFile], Manifest]

    def open(self, document: WeightFile) -> RawReader:
        manifest = self.read(document)
        return RawReader(document, manifest, find_sources(document, manifest))

    def describes(self, file: WeightFile) -> bool:
        """Whether there is a document beside `file`, a file of numbers, that speaks of it."""
        document = find_document(file, self.matches, self.read)
        if document is not None:
            document.close()
        return document is not None

    def open_numbers(self, file: WeightFile) -> RawReader:
        """Return the reader of `file`, which has a document."""
        document = find_document(file, self.matches, self.read)
        if document is None:
            raise WeightsError(
                "found no document beside it any more, expected one", code="weights.changed", file=file.name
            )
        file.add_part(document)
        manifest = self.read(document)
        return RawReader(file, manifest, find_sources(document, manifest, file))


_TFJS = _Kind(has_manifest, read_manifest)
_MESHNET = _Kind(has_layers, read_layers)

TFJS = WeightsFormat("TensorFlow.js", _TFJS.matches, _TFJS.open, layout="keras")
TFJS_NUMBERS = WeightsFormat("TensorFlow.js", _TFJS.describes, _TFJS.open_numbers, layout="keras")
MESHNET = WeightsFormat("MeshNet (raw)", _MESHNET.matches, _MESHNET.open)
MESHNET_NUMBERS = WeightsFormat("MeshNet (raw)", _MESHNET.describes, _MESHNET.open_numbers)

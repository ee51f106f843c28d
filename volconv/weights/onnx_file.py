"""Initialisers of an ONNX model, by name; parsed by the ``onnx`` package, the extra ``volconv[onnx]``.

Only the format is used of that package: sizes, types and the files of external data are checked here.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, show
from .base import MAX_RANK, WeightsFormat, refuse_duplicate
from .byte_sources import ByteSource, FileBytes, HeldBytes
from .contained import open_contained
from .strided import ITEM_BYTES, MAX_ELEMENTS, Storage, View, ViewReader, make_strides
from .weight_file import WeightFile

_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    24: "float8_e8m0fnu",
}
"""onnx.TensorProto.DataType; strings and types of less than a byte are left out."""

_FIELDS = {
    **dict.fromkeys((1, 14), ("float_data", "<f4")),
    **dict.fromkeys((11, 15), ("double_data", "<f8")),
    **dict.fromkeys((12, 13), ("uint64_data", "<u8")),
    7: ("int64_data", "<i8"),
}
"""Where numbers stand that are not raw; complex ones as pairs, all other types as the bits in ``int32_data``."""

_EXTERNAL = 1


def is_onnx(file: WeightFile) -> bool:
    """Whether the file begins as a ModelProto does: with ``ir_version`` and another of its first fields."""
    return re.match(rb"\x08[\x03-\x20][\x12\x1a\x22\x28\x32\x3a\x42]", file.head) is not None


def open_onnx(file: WeightFile) -> ViewReader:
    """Return the reader of a model's initialisers.

    Raises
    ------
    WeightsError
        If the ``onnx`` package is not installed, the model is damaged, or its external data is not below its folder.
    """
    return ViewReader(file, _Model(file).views())


class _Model:
    def __init__(self, file: WeightFile) -> None:
        try:
            import onnx
            from google.protobuf.message import DecodeError
        except ImportError as error:
            message = "found an ONNX model, which the onnx package reads: pip install 'volconv[onnx]'"
            raise WeightsError(message, code="weights.package", file=file.name) from error
        self.file = file
        self.others: dict[str, WeightFile] = {}
        try:
            self.graph: Any = onnx.ModelProto.FromString(file.read_at(0, file.size)).graph
        except (DecodeError, UnicodeDecodeError) as error:
            self.fail(None, "a damaged message", "a complete ONNX model", error)

    def fail(self, key: str | None, found: str, expected: str, error: Exception | None = None) -> NoReturn:
        where = show(key[:200]) if key else None
        raise WeightsError(
            f"ONNX: found {found}, expected {expected}", code="weights.onnx", file=self.file.name, where=where
        ) from error

    def views(self) -> dict[str, View]:
        out: dict[str, View] = {}
        for tensor in self.graph.initializer:
            if not isinstance(tensor.name, str):  # what protobuf makes of text that is no UTF-8
                self.fail(None, "a name that is no UTF-8", "text")
            if tensor.name in out:
                refuse_duplicate(self.file, tensor.name[:200])
            if tensor.data_type in _DTYPES:
                out[tensor.name] = self.make_view(tensor)
        if not out:
            self.fail(None, "no initialisers of numbers", "a model with weights")
        return out

    def make_view(self, tensor: Any) -> View:
        shape, dtype = tuple(tensor.dims), _DTYPES[tensor.data_type]
        if len(shape) > MAX_RANK or any(n < 0 for n in shape) or math.prod(shape) > MAX_ELEMENTS:
            self.fail(tensor.name, f"{len(shape)} sizes that no tensor has", f"at most {MAX_RANK}, none below 0")
        nbytes = math.prod(shape) * ITEM_BYTES[dtype]
        source = self.find_numbers(tensor, dtype, nbytes)
        if source.size != nbytes:
            self.fail(tensor.name, f"{source.size} bytes of numbers", f"{nbytes} for {dtype} {list(shape)}")
        storage = Storage(nbytes, dtype, source, sys.byteorder == "big")
        return View(storage, dtype, shape, make_strides(shape))

    def find_numbers(self, tensor: Any, dtype: str, nbytes: int) -> ByteSource:
        if tensor.HasField("segment"):
            self.fail(tensor.name, "a part of a tensor", "the whole")
        if tensor.data_location == _EXTERNAL:
            return self.open_external(tensor, nbytes)
        if tensor.HasField("raw_data"):
            return HeldBytes(tensor.raw_data)
        return HeldBytes(_pack(tensor, dtype).tobytes())

    def open_external(self, tensor: Any, nbytes: int) -> FileBytes:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        is_text = all(isinstance(text, str) for pair in entries.items() for text in pair)
        if not is_text or len(entries) != len(tensor.external_data) or "location" not in entries:
            self.fail(tensor.name, "external data without a place", "location, offset and length")
        name = entries["location"]
        if name not in self.others:
            self.others[name] = open_contained(self.file, name)
        other = self.others[name]
        offset = self.read_number(tensor.name, entries.get("offset", "0"))
        length = self.read_number(tensor.name, entries.get("length", str(nbytes)))
        if length != nbytes or offset + length > other.size:
            found = f"{length} bytes at {offset} in a file of {other.size}"
            self.fail(tensor.name, found, f"{nbytes}, all there")
        return FileBytes(other, offset, length)

    def read_number(self, key: str, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text):
            self.fail(key, f"the offset or length {show(text[:40])!r}", "a whole number")
        return int(text)


def _pack(tensor: Any, dtype: str) -> NDArray[Any]:
    """Return the numbers of the field that the type has as they would lie in memory, little-endian."""
    field, stored = _FIELDS.get(tensor.data_type, ("int32_data", "<i4"))
    values = np.array(getattr(tensor, field), stored)
    return values if stored[1] == "f" else values.astype(f"<u{ITEM_BYTES[dtype]}")


ONNX = WeightsFormat("ONNX", is_onnx, open_onnx)

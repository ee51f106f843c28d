"""The safetensors format: a length, a JSON header, and raw numbers that fill the rest of the file without a gap.

Format: https://github.com/huggingface/safetensors#format. The header is checked more strictly than the text asks:
duplicate names are refused, and no byte of the file may lie outside a tensor.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from numpy.typing import NDArray

from ..errors import WeightsError
from ..values import describe
from .base import MAX_RANK, TensorInfo, WeightsFormat, allocate, as_bytes, make_dtype, refuse_duplicate
from .weight_file import WeightFile

MAX_HEADER = 1 << 24
"""Bytes of header at most: room for over 100,000 tensors; the format's own bound is 100 million."""

_SCALAR_KEYS = "__lucid_scalar_keys__"
_DTYPES = {
    "F64": ("float64", 64),
    "F32": ("float32", 32),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "I64": ("int64", 64),
    "I32": ("int32", 32),
    "I16": ("int16", 16),
    "I8": ("int8", 8),
    "U64": ("uint64", 64),
    "U32": ("uint32", 32),
    "U16": ("uint16", 16),
    "U8": ("uint8", 8),
    "BOOL": ("bool", 8),
    "C64": ("complex64", 64),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F6_E2M3": ("F6_E2M3", 6),
    "F6_E3M2": ("F6_E3M2", 6),
    "F4": ("F4", 4),
}


def is_safetensors(file: WeightFile) -> bool:
    """Whether the file begins with a length and a JSON object; text never passes for a length."""
    head = file.head
    return head[8:9] == b"{" and (head[7] == 0 or not head[:8].isascii())


class SafetensorsReader:
    """A safetensors file, read by position."""

    def __init__(self, file: WeightFile) -> None:
        self._file = file
        length = int.from_bytes(file.head[:8], "little")
        if length > min(MAX_HEADER, file.size - 8):
            self._fail(None, f"a header of {length} bytes in a file of {file.size}", f"at most {MAX_HEADER}, all there")
        self._start = 8 + length
        self.tensors: dict[str, TensorInfo] = {}
        self._offsets: dict[str, int] = {}
        header = self._parse_header(file.read_at(8, length))
        spans = [(*self._add(name, entry), name) for name, entry in header.items() if name != "__metadata__"]
        self._check_spans(sorted(spans))
        self._restore_scalars(header.get("__metadata__", {}).get(_SCALAR_KEYS, ""))

    def _fail(self, key: str | None, found: str, expected: str) -> NoReturn:
        raise WeightsError(
            f"safetensors header: found {found}, expected {expected}",
            code="weights.safetensors",
            file=self._file.name,
            where=key,
        )

    def _parse_header(self, text: bytes) -> Mapping[str, Any]:
        def make_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for name, value in pairs:
                if name in out:
                    refuse_duplicate(self._file, name[:200])
                out[name] = value
            return out

        def refuse_constant(name: str) -> NoReturn:
            raise ValueError(name)

        try:
            header = json.loads(text.decode("utf-8"), object_pairs_hook=make_dict, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            if isinstance(error, WeightsError):
                raise
            self._fail(None, "damaged JSON", "a JSON object in UTF-8")
        if not isinstance(header, dict):
            self._fail(None, "another JSON value", "an object")
        metadata = header.get("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            self._fail("__metadata__", "other values", "an object of strings")
        return header

    def _add(self, name: str, entry: Any) -> tuple[int, int]:
        if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
            self._fail(name, describe(entry), "an object with dtype, shape and data_offsets")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in _DTYPES:
            self._fail(name, f"dtype {describe(code)}", f"one of {', '.join(_DTYPES)}")
        if not _is_sizes(shape) or len(shape) > MAX_RANK:
            self._fail(name, f"shape {describe(shape)}", f"a list of at most {MAX_RANK} sizes")
        if not _is_sizes(offsets) or len(offsets) != 2:
            self._fail(name, f"data_offsets {describe(offsets)}", "a list of two offsets")
        begin, end = offsets
        dtype, bits = _DTYPES[code]
        if end < begin or end > self._file.size - self._start:
            self._fail(name, f"data_offsets {describe(offsets)}", f"offsets in 0 to {self._file.size - self._start}")
        if math.prod(shape) * bits != (end - begin) * 8:
            self._fail(name, f"{end - begin} bytes", f"{math.prod(shape) * bits / 8:.16g} for {code} {describe(shape)}")
        self.tensors[name] = TensorInfo(tuple(shape), dtype, end - begin)
        self._offsets[name] = self._start + begin
        return begin, end

    def _restore_scalars(self, names: str) -> None:
        """Give the tensors that Lucid stored as (1,), and named in the metadata, their shape () again."""
        for name in filter(None, names.split(",")):
            info = self.tensors.get(name)
            if info is not None and info.shape == (1,):
                self.tensors[name] = replace(info, shape=())

    def _check_spans(self, spans: list[tuple[int, int, str]]) -> None:
        position = 0
        for begin, end, name in spans:
            if begin != position:
                fault = "an overlap" if begin < position else "a hole"
                self._fail(name, f"{fault} before offset {begin}", f"this tensor at {position}, behind the one before")
            position = end
        if position != self._file.size - self._start:
            self._fail(None, f"{self._file.size - self._start} bytes of numbers", f"{position}, as the offsets say")

    def read(self, key: str) -> NDArray[Any]:
        """Return the tensor `key`; the format is little-endian."""
        info = self.tensors[key]
        dtype = make_dtype(info.dtype)
        out = allocate(info.shape, dtype, self._file, key)
        self._file.read_into(self._offsets[key], as_bytes(out))
        return out if sys.byteorder == "little" else out.byteswap()

    def close(self) -> None:
        """Nothing is held beside the file."""


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 2**63 for v in value)


SAFETENSORS = WeightsFormat("safetensors", is_safetensors, SafetensorsReader)

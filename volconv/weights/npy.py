"""NumPy's ``.npy``: one array with a text header, which is parsed here and never evaluated.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, show
from .base import MAX_RANK, NUMPY_DTYPES, TensorInfo, WeightsFormat, allocate, as_bytes
from .weight_file import WeightFile

MAGIC = b"\x93NUMPY"
MAX_HEADER = 65536
"""Bytes the header may have, magic included; NumPy itself refuses text of more than 10,000 characters."""

_ITEM = re.compile(
    r"""\s*(['"])(?P<key>\w+)\1\s*:\s*
    (?: (['"])(?P<text>[^'"\\]*)\3 | (?P<flag>True|False) | \((?P<shape>[\d\sL,]*)\) | (?P<record>\[.*\]) )
    \s*(?:,|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_DESCR = re.compile(r"(?P<order>[<>|=]?)(?P<kind>[a-zA-Z?])(?P<size>\d{0,6})(?:\[\w+\])?\Z")
_KINDS = {"f": "float", "i": "int", "u": "uint"}
_OTHERS = {"b": "bool", "?": "bool", "c": "complex", "O": "object", "S": "bytes", "a": "bytes", "U": "str"}


@dataclass(frozen=True)
class NpyHeader:
    """What the header of an array says.

    Attributes
    ----------
    swapped : bool
        Whether the numbers lie in the other byte order than this machine's.
    fortran : bool
        Whether the first axis varies fastest.
    start : int
        Bytes before the numbers.
    """

    info: TensorInfo
    swapped: bool
    fortran: bool
    start: int


def parse_header(head: bytes, total: int, file: WeightFile, where: str | None = None) -> NpyHeader:
    """Return the header of an array of `total` bytes, all in all, that begins with `head`.

    Raises
    ------
    WeightsError
        If the header is damaged, or shape and type do not fill the bytes behind it exactly.
    """

    def fail(found: str, expected: str) -> WeightsError:
        return WeightsError(
            f"npy header: found {found}, expected {expected}", code="weights.npy", file=file.name, where=where
        )

    if not head.startswith(MAGIC) or len(head) < 12:
        raise fail(f"{show(repr(head[:8]))}", "the npy magic and a header")
    version = head[6]
    if version not in (1, 2, 3) or head[7] != 0:
        raise fail(f"version {head[6]}.{head[7]}", "version 1.0, 2.0 or 3.0")
    fixed = 10 if version == 1 else 12
    start = fixed + int.from_bytes(head[8:fixed], "little")
    if start > min(MAX_HEADER, total) or start > len(head):
        raise fail(f"{start} bytes of header in {total} bytes", f"at most {MAX_HEADER}, all there")
    items = _parse_items(head[fixed:start].decode("utf-8" if version == 3 else "latin-1", "replace"))
    if items is None or set(items) != {"descr", "fortran_order", "shape"}:
        raise fail("another text", "{'descr': ..., 'fortran_order': ..., 'shape': ...}")
    descr, fortran, shape = items["descr"], items["fortran_order"], items["shape"]
    if not isinstance(descr, str) or not isinstance(fortran, bool) or not isinstance(shape, tuple):
        raise fail("values of other kinds", "a string, True or False, and a tuple of whole numbers")
    if len(shape) > MAX_RANK:
        raise fail(f"{len(shape)} axes", f"at most {MAX_RANK}")
    dtype, order = _read_descr(descr)
    info = TensorInfo(shape, dtype, math.prod(shape) * (np.dtype(dtype).itemsize if dtype in NUMPY_DTYPES else 0))
    if info.is_numeric and info.nbytes != total - start:
        raise fail(f"{total - start} bytes of numbers", f"{info.nbytes} for {dtype} {_show_shape(shape)}")
    return NpyHeader(info, np.dtype(f"{order}i2") != np.dtype("i2"), fortran, start)


def _parse_items(text: str) -> dict[str, Any] | None:
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    body, items = text[1:-1].rstrip(), {}
    at = 0
    while at < len(body):
        match = _ITEM.match(body, at)
        if match is None or match["key"] in items:
            return None
        items[match["key"]] = _parse_value(match)
        at = match.end()
    return items


def _parse_value(match: re.Match[str]) -> Any:
    if match["flag"]:
        return match["flag"] == "True"
    if match["shape"] is not None:
        parts = [p.strip().removesuffix("L") for p in match["shape"].split(",")]
        if parts and parts[-1] == "":
            parts.pop()
        return tuple(int(p) for p in parts) if all(p.isdigit() and len(p) < 20 for p in parts) else None
    return match["text"] if match["text"] is not None else "record"


def _read_descr(descr: str) -> tuple[str, str]:
    match = _DESCR.match(descr)
    if match is None:
        return descr if descr == "record" else show(descr[:20]), "="
    size = int(match["size"] or 0)
    name = f"{_KINDS[match['kind']]}{8 * size}" if match["kind"] in _KINDS else _OTHERS.get(match["kind"], descr)
    return name, "=" if match["order"] in ("", "|") else match["order"]


def _show_shape(shape: tuple[int, ...]) -> str:
    return str(list(shape))


def to_native(raw: NDArray[Any], header: NpyHeader) -> NDArray[Any]:
    """Return the numbers `raw` (one axis, as in the file) in the header's shape, C order, native byte order."""
    if header.swapped and raw.dtype.itemsize > 1:
        raw.byteswap(inplace=True)
    return np.asarray(raw.reshape(header.info.shape, order="F" if header.fortran else "C"), order="C")


class NpyReader:
    """A ``.npy`` file: one tensor, whose key is the empty string."""

    def __init__(self, file: WeightFile) -> None:
        self._file = file
        self._header = parse_header(file.read_at(0, min(file.size, MAX_HEADER)), file.size, file)
        self.tensors = {"": self._header.info}

    def read(self, key: str) -> NDArray[Any]:
        """Return the array."""
        info = self._header.info
        raw = allocate((math.prod(info.shape),), np.dtype(info.dtype), self._file, key)
        self._file.read_into(self._header.start, as_bytes(raw))
        return to_native(raw, self._header)

    def close(self) -> None:
        """Nothing is held beside the file."""


NPY = WeightsFormat("npy", lambda file: file.head.startswith(MAGIC), NpyReader)

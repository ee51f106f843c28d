"""Tensors as views of stored numbers: start, shape and steps, checked by arithmetic before a byte is read.

Files of pickled tensors describe them so; the numbers lie elsewhere in the file, several views may share them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, show
from .base import MAX_RANK, TensorInfo, allocate, as_bytes, make_dtype
from .byte_sources import ByteSource
from .weight_file import WeightFile

MAX_ELEMENTS = 1 << 40
ITEM_BYTES = {
    **dict.fromkeys(("bool", "int8", "uint8"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"), 1),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
    **dict.fromkeys(("int32", "uint32", "float32"), 4),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
    "complex128": 16,
}
"""The types a view may have, with the bytes of a number."""

_EXPANSION = 8
"""Times the file's size that a view which repeats numbers (a step of 0) may have."""


@dataclass(eq=False, slots=True)
class Storage:
    """Numbers in a row.

    Attributes
    ----------
    nbytes : int
        Of all of them.
    dtype : str
        What they are; empty where the view says it.
    source : ByteSource or None
        Where they lie; None until that is known.
    swapped : bool
        Whether they have the other byte order than this machine's.
    """

    nbytes: int
    dtype: str
    source: ByteSource | None
    swapped: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class View:
    """A tensor: `shape` with steps of `strides` elements through `storage`, from element `offset`."""

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def info(self) -> TensorInfo:
        """Shape, type and bytes."""
        return TensorInfo(self.shape, self.dtype, math.prod(self.shape) * ITEM_BYTES[self.dtype])


def find_fault(view: View, file_bytes: int) -> tuple[str, str] | None:
    """Return what was found and what expected where a view does not fit its storage or its file, else None."""
    shape, strides = view.shape, view.strides
    if len(shape) > MAX_RANK or len(strides) != len(shape):
        return f"{len(shape)} sizes and {len(strides)} steps", f"as many of both, at most {MAX_RANK}"
    if any(n < 0 for n in (*shape, *strides, view.offset)):
        return "a negative size, step or start", "none below 0"
    count, item = math.prod(shape), ITEM_BYTES[view.dtype]
    if count > MAX_ELEMENTS:
        return f"{_number(count)} elements", f"at most {MAX_ELEMENTS}"
    stored = view.storage.nbytes // item
    if count and view.offset + _extent(shape, strides) > stored:
        last = view.offset + _extent(shape, strides) - 1
        return f"a tensor that reaches element {_number(last)} of its storage", f"one within its {stored} elements"
    if count * item > _EXPANSION * file_bytes + (1 << 20):
        return f"a tensor of {_number(count)} elements in a file of {file_bytes} bytes", "one not much larger than it"
    return None


def make_strides(shape: tuple[int, ...], fortran: bool = False) -> tuple[int, ...]:
    """Return the steps, in elements, of an array without gaps in C or Fortran order."""
    steps, step = [], 1
    for n in shape if fortran else reversed(shape):
        steps.append(step)
        step *= n
    return tuple(steps if fortran else reversed(steps))


def _extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return the elements from the first to the last of a view that is not empty."""
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))


def _is_plain(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    pairs = zip(shape, strides, make_strides(shape), strict=True)
    return all(n == 1 or found == wanted for n, found, wanted in pairs)


def _number(value: int) -> str:
    return str(value) if value < 10**20 else "more than 10^20"


def read_view(view: View, file: WeightFile, key: str) -> NDArray[Any]:
    """Return the tensor in C order and native byte order; `find_fault` has found none in it."""
    storage = view.storage
    dtype = make_dtype(view.dtype)
    out = allocate(view.shape, dtype, file, key)
    if not out.size:
        return out
    if storage.source is None:
        raise WeightsError("found no numbers for it, expected them in the file", file=file.name, where=show(key))
    start = view.offset * dtype.itemsize
    if _is_plain(view.shape, view.strides):
        storage.source.read_into(start, as_bytes(out))
    else:
        row = allocate((_extent(view.shape, view.strides),), dtype, file, key)
        storage.source.read_into(start, as_bytes(row))
        steps = [s * dtype.itemsize for s in view.strides]
        out[...] = np.lib.stride_tricks.as_strided(row, view.shape, steps, writeable=False)
    if storage.swapped and dtype.itemsize > 1:
        out.reshape(-1).view(f"u{dtype.itemsize}").byteswap(inplace=True)
    return out


class ViewReader:
    """The `Reader` of all formats whose tensors are views."""

    def __init__(self, file: WeightFile, views: Mapping[str, View]) -> None:
        self._file = file
        self._views = views
        self.tensors = {key: view.info for key, view in views.items()}

    def read(self, key: str) -> NDArray[Any]:
        """Return the tensor `key`."""
        return read_view(self._views[key], self._file, key)

    def close(self) -> None:
        """Nothing is held beside the file."""

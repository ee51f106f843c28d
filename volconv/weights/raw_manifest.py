"""What a document beside files of raw numbers says of them: names, shapes and types, one behind the other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, show
from ..values import describe
from .base import MAX_RANK
from .strided import ITEM_BYTES, MAX_ELEMENTS
from .weight_file import WeightFile

MAX_TENSORS = 100_000
MAX_FILES = 512
MAX_NAME = 1024


@dataclass(frozen=True, slots=True)
class Affine:
    """Numbers that stand for ``code · scale + minimum``."""

    scale: float
    minimum: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor.

    Attributes
    ----------
    dtype : str
        Of the array once read.
    stored : str
        Of the numbers in the file: another where they are quantised.
    affine : Affine or None
        How numbers of an integer type stand for others; None where they stand for themselves.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    affine: Affine | None = None

    @property
    def stored_bytes(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) * ITEM_BYTES[self.stored]


@dataclass(frozen=True, slots=True)
class Group:
    """Tensors without a gap between them, in the files `paths` joined; no paths where the document names none."""

    paths: tuple[str, ...]
    entries: tuple[Entry, ...]

    @property
    def stored_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.stored_bytes for entry in self.entries)


Manifest = tuple[Group, ...]


def fail(file: WeightFile, key: str | None, found: str, expected: str) -> NoReturn:
    """Raise for what is wrong with the document `file`, at the tensor `key`."""
    where = show(key[:200]) if key else None
    raise WeightsError(
        f"manifest: found {found}, expected {expected}", code="weights.json", file=file.name, where=where
    )


def read_shape(file: WeightFile, key: str, value: Any) -> tuple[int, ...]:
    """Return the list of sizes `value` as a shape that a tensor may have."""
    is_list = isinstance(value, list) and len(value) <= MAX_RANK
    if not is_list or not all(type(n) is int and 0 <= n < 2**63 for n in value) or math.prod(value) > MAX_ELEMENTS:
        fail(file, key, f"shape {describe(value)}", f"at most {MAX_RANK} sizes, {MAX_ELEMENTS} elements")
    return tuple(value)


def check_names(file: WeightFile, manifest: Iterable[Group]) -> None:
    """Raise where two tensors have one name, or there are more than any network has."""
    names: set[str] = set()
    for group in manifest:
        for entry in group.entries:
            if entry.name in names:
                fail(file, entry.name, "two tensors of this name", "one")
            names.add(entry.name)
    if len(names) > MAX_TENSORS:
        fail(file, None, f"{len(names)} tensors", f"at most {MAX_TENSORS}")


def make_table(entry: Entry) -> NDArray[Any]:
    """Return what each code of a quantised tensor stands for: float32, or int32 rounded, halves up.

    As ``decodeWeights`` of TensorFlow.js: in double precision, rounded once. (Its Python converter rounds floats to
    whole numbers when it reads them back, which no network survives.)
    """
    assert entry.affine is not None
    codes = np.arange(1 << 8 * ITEM_BYTES[entry.stored], dtype=np.float64)
    with np.errstate(over="ignore"):
        values = codes * entry.affine.scale + entry.affine.minimum
        return np.floor(values + 0.5).astype(np.int32) if entry.dtype == "int32" else values.astype(np.float32)

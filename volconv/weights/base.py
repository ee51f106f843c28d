"""What a weights file offers the rest of the package, whatever its format.

The contract, enforced by `tests/weights/test_readers.py`:

- Opening reads names, shapes and types; tensors are read one by one, when asked for.
- Nothing a file claims is believed before it is held against the bytes that are there; nothing of claimed size is
  allocated before that.
- A damaged or hostile file raises `WeightsError`, never another exception; no code in a file ever runs.
- ``read`` returns a fresh C-contiguous array in native byte order with the shape and dtype of the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from ..settings import usable_memory
from .weight_file import WeightFile

MAX_RANK = 32
_UNASKED = 1 << 26
"""Bytes that are allocated without a look at the memory there is, which takes a millisecond."""

NUMPY_DTYPES = (
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
ML_DTYPES = ("bfloat16", *(f"float8_{kind}" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")))


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the file describes it.

    Attributes
    ----------
    shape : tuple of int
        As in the file.
    dtype : str
        NumPy's name of the type (``float32``, ``bfloat16``), or the file's own where NumPy has none.
    nbytes : int
        Of the array once read.
    """

    shape: tuple[int, ...]
    dtype: str
    nbytes: int

    @property
    def is_numeric(self) -> bool:
        """Whether the tensor holds real numbers, so that it can be read."""
        return self.dtype in NUMPY_DTYPES or self.dtype in ML_DTYPES


class Reader(Protocol):
    """An open weights file of one format."""

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """What the file holds, by name, in the file's order."""

    def read(self, key: str) -> NDArray[Any]:
        """Return the tensor `key`, which is in `tensors` and numeric."""

    def close(self) -> None:
        """Let go of what the reader holds beside the file itself."""


@dataclass(frozen=True)
class WeightsFormat:
    """One row of the registry.

    Attributes
    ----------
    matches : callable
        Whether a file is of this format, from its content; cheap.
    open : callable
        From the file to its `Reader`.
    layout : str
        Whose order of axes every file of the format has; empty where the format says nothing of it.
    """

    name: str
    matches: Callable[[WeightFile], bool]
    open: Callable[[WeightFile], Reader]
    layout: str = ""


def make_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of one of `NUMPY_DTYPES` or `ML_DTYPES`, in native byte order."""
    if name in ML_DTYPES:
        import ml_dtypes  # 10 ms that files without such types need not pay

        out: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return out
    return np.dtype(name)


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any], file: WeightFile, key: str) -> NDArray[Any]:
    """Return an uninitialised array; memory that cannot be had is a `WeightsError`."""
    nbytes = math.prod(shape) * dtype.itemsize
    try:
        # The system may promise more than there is, and end the process when a packed file has unfolded.
        if nbytes > _UNASKED and nbytes > usable_memory():
            raise MemoryError
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        message = f"needs {nbytes} bytes, which cannot be had"
        raise WeightsError(message, code="weights.memory", file=file.name, where=key) from error


def as_bytes(array: NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, to be filled."""
    return array.reshape(-1).view(np.uint8).data


def refuse_duplicate(file: WeightFile, key: str) -> NoReturn:
    """Raise for a name that occurs twice."""
    raise WeightsError(
        "found two tensors of this name, expected one", code="weights.duplicate", file=file.name, where=key
    )

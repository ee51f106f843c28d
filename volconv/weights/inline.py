"""Nested numbers in a spec as an array; what shape is wanted is not known here."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import SpecError
from ..values import Place, describe
from .base import MAX_RANK


def make_inline(values: Any, place: Place | None = None) -> NDArray[np.float64]:
    """Return nested lists of finite numbers as a float64 array, C-contiguous.

    Parameters
    ----------
    values : number, nested lists of numbers, or array
        As written; true and false are no numbers.
    place : Place, optional
        Where they stand, for messages.

    Raises
    ------
    SpecError
        Where lists beside each other differ in length or depth, and for every value that is no finite number; the
        message gives its indices.
    """
    place = place or Place()
    if isinstance(values, np.ndarray):
        return _from_array(values, place)
    shape: list[int] = []
    inner = values
    while _is_list(inner):
        shape.append(len(inner))
        if len(shape) > MAX_RANK:
            _fail(place, (), "deeper lists", f"at most {MAX_RANK} levels")
        if not inner:
            break
        inner = inner[0]
    # Collected before anything of the outer lists' shape is allocated: ragged lists may claim any product.
    numbers: list[float] = []
    _collect(numbers, values, tuple(shape), place, ())
    return np.array(numbers, dtype=np.float64).reshape(tuple(shape))


def _collect(numbers: list[float], values: Any, shape: tuple[int, ...], place: Place, index: tuple[int, ...]) -> None:
    if not shape:
        numbers.append(_number(values, place, index))
        return
    if not _is_list(values) or len(values) != shape[0]:
        found = f"a list of {len(values)}" if _is_list(values) else describe(values)
        _fail(place, index, found, f"a list of {shape[0]}, as in the lists beside it")
    for i, value in enumerate(values):
        _collect(numbers, value, shape[1:], place, (*index, i))


def _number(value: Any, place: Place, index: tuple[int, ...]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _fail(place, index, "a list" if _is_list(value) else describe(value), "a number")
    try:
        out = float(value)
    except OverflowError:
        out = math.inf
    if not math.isfinite(out):
        _fail(place, index, describe(value), "a finite number")
    return out


def _from_array(values: NDArray[Any], place: Place) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiu" and values.dtype.name != "bfloat16":
        _fail(place, (), f"an array of {values.dtype}", "numbers")
    out = np.array(values, dtype=np.float64, order="C")
    if not np.isfinite(out).all():
        _fail(place, (), f"{out.size - int(np.isfinite(out).sum())} values NaN or Inf", "finite numbers")
    return out


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _fail(place: Place, index: tuple[int, ...], found: str, expected: str) -> NoReturn:
    where = f"{place}{''.join(f'[{i}]' for i in index)}"
    raise SpecError(f"found {found}, expected {expected}", file=place.file or None, where=where or None)

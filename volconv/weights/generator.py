"""What a filter generator is, and how one reads its parameters: lengths in voxels or millimetres, odd kernel sizes.

Knows nothing of the single generators; those lie in files of their own and are listed in `generators`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..values import MISSING, Length, Values, describe, parse_length

Filters = NDArray[np.float64]

MAX_TAPS = 2**27
"""Taps of a filter bank at most: one gibibyte in float64, and far more than direct convolution can use."""

_LENGTH: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\s*\+?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*(mm|voxels?)\s*$"},
    ]
}
_ORDER = {"type": "integer", "minimum": 0}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "length": {"anyOf": [*_LENGTH["anyOf"], {"type": "array", "items": _LENGTH, "minItems": 2, "maxItems": 3}]},
    "number": {"type": "number"},
    "orders": {"anyOf": [_ORDER, {"type": "array", "items": _ORDER, "minItems": 2, "maxItems": 3}]},
    "text": {"type": "string"},
}


@dataclass(frozen=True)
class GeneratorParameter:
    """One parameter of a generator.

    Attributes
    ----------
    kind : str
        ``length`` (voxels or millimetres, one or one an axis), ``number``, ``orders`` (whole numbers) or ``text``.
    default : object
        None where the parameter must be given (or, for ``kernel_size``, follows from the others).
    choices : tuple of str
        The texts it may be, where they are few.
    """

    name: str
    kind: str
    default: float | str | None
    help: str
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """Return the parameter's JSON Schema."""
        out: dict[str, Any] = {"description": self.help, **_SCHEMAS[self.kind]}
        if self.default is not None:
            out["default"] = self.default
        if self.choices:
            out["enum"] = list(self.choices)
        return out


KERNEL_SIZE = GeneratorParameter("kernel_size", "length", None, "odd number of taps an axis; follows from the others")
SIGMA = GeneratorParameter("sigma", "length", None, "standard deviation of the Gaussian")
TRUNCATE = GeneratorParameter("truncate", "number", 4.0, "radius of the kernel in standard deviations")


@dataclass(frozen=True)
class Generator:
    """One row of the generators' table.

    Attributes
    ----------
    filters_3d, filters_2d : int
        Filters it makes in ``Conv3d`` and in ``Conv2d``; it is applied to every input channel by itself.
    required : tuple of str
        Parameters without a default.
    make : callable
        From a `Request` to float64 taps (F, kd, kh, kw), or (F, kh, kw) in two dimensions.
    """

    name: str
    summary: str
    parameters: tuple[GeneratorParameter, ...]
    make: Callable[[Request], Filters]
    filters_3d: int = 1
    filters_2d: int = 1
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """The parameters as written, and the grid they are for.

    Attributes
    ----------
    spacing_mm : tuple of float or None
        One an axis: D, H, W, or H, W where `ndim` is 2.
    """

    values: Values
    spacing_mm: tuple[float, ...] | None
    ndim: int

    def lengths(self, key: str, default: Any = MISSING) -> tuple[float, ...]:
        """Return a positive length in voxels for every axis."""
        out = self.values.lengths_voxel(key, self.ndim, self.spacing_mm, default, above=0.0)
        if any(not 1e-15 < v < math.inf for v in out):  # scipy takes a sigma below as none at all
            self.values.fail(key, describe(self.values.get(key, default)), "a length between 1e-15 voxels and infinity")
        return out

    def radii(self, sigma: tuple[float, ...], narrowest: float = 1.0) -> tuple[int, ...]:
        """Return ``int(truncate * sigma / narrowest + 0.5)`` an axis, as `scipy.ndimage.gaussian_filter` does."""
        truncate = self.values.number("truncate", 4.0, minimum=0.0)
        reach = [truncate * s / narrowest + 0.5 for s in sigma]
        if max(reach) > MAX_TAPS:
            self._refuse_size("sigma")
        return tuple(int(r) for r in reach)

    def odd_sizes(self, key: str, default: Any = MISSING) -> tuple[int, ...]:
        """Return an odd number of voxels for every axis; millimetres go to the nearest odd number, halves up."""
        lengths = self.lengths(key, default)
        written = self.values.get(key, default)
        parts = written if isinstance(written, list | tuple) else [written] * self.ndim
        return tuple(self._odd(key, part, voxels) for part, voxels in zip(parts, lengths, strict=True))

    def _odd(self, key: str, part: Any, voxels: float) -> int:
        if voxels > MAX_TAPS:
            self._refuse_size(key)
        length = parse_length(part) if isinstance(part, str) else part
        if isinstance(length, Length) and length.unit == "mm":
            return 2 * int(voxels / 2) + 1
        if voxels % 2 != 1:
            self.values.fail(key, describe(part), "an odd whole number of voxels")
        return int(voxels)

    def kernel_size(self) -> tuple[int, ...] | None:
        """Return the parameter ``kernel_size``, or None where it is left out."""
        return self.odd_sizes("kernel_size") if "kernel_size" in self.values else None

    def check_taps(self, key: str, filters: int, sizes: tuple[int, ...]) -> None:
        """Raise if a bank of `filters` times `sizes` is absurd; called before anything of that size is allocated."""
        if filters * math.prod(sizes) > MAX_TAPS:
            self._refuse_size(key)

    def _refuse_size(self, key: str) -> None:
        found = describe(self.values.get(key, None))
        self.values.fail(key, found, f"a length whose kernel has at most {MAX_TAPS} taps")

    def embed(self, taps: Filters) -> Filters:
        """Return `taps` (F, *k) with zeros around them up to ``kernel_size``; a smaller one is an error."""
        sizes, native = self.kernel_size(), taps.shape[1:]
        if sizes is None or sizes == native:
            return taps
        if any(s < n for s, n in zip(sizes, native, strict=True)):
            self.values.fail("kernel_size", describe(self.values.get("kernel_size")), f"at least {list(native)}")
        self.check_taps("kernel_size", len(taps), sizes)
        return pad_to(taps, sizes)


def pad_to(taps: Filters, sizes: tuple[int, ...]) -> Filters:
    """Return `taps` (F, *k) in the middle of zeros (F, *sizes); both odd on every axis."""
    out = np.zeros((len(taps), *sizes))
    middle = tuple(slice((s - n) // 2, (s + n) // 2) for s, n in zip(sizes, taps.shape[1:], strict=True))
    out[(slice(None), *middle)] = taps
    return out


def outer(vectors: list[Filters]) -> Filters:
    """Return the outer product of one vector an axis."""
    out = vectors[0]
    for vector in vectors[1:]:
        out = out[..., None] * vector
    return out

"""NumPy arrays as a source and a sink: what the Python interface and tests put where files would be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError, ShapeError, UsageError
from ..geometry import Floats3, Geometry
from ..region import Region
from ..volume import OutputInfo, VolumeInfo
from .commit import Unit
from .rounding import count_not_finite, to_stored

_BLOCK_VALUES = 1 << 16


class ArraySource:
    """An array as a `Source`; it is neither copied nor changed.

    Parameters
    ----------
    array : (C, D, H, W) or (N, C, D, H, W) array
        Integers, booleans or floats; any byte order and strides.
    spacing : tuple of float, optional
        D, H, W in mm; None: unknown, so that no length in millimetres can be used.
    order : str
        What the array's axes would be in a file: ``ijk`` (default; D = i, as in an array from nibabel) or ``kji``.

    Raises
    ------
    ShapeError
        The array has another number of dimensions, or one of length 0.
    UsageError
        Its values are no real numbers, or `spacing` is not three positive lengths.
    """

    path: Path | None = None
    paths: tuple[Path, ...] = ()
    spool_bytes = 0

    def __init__(self, array: NDArray[Any], spacing: Floats3 | None = None, *, order: str = "ijk") -> None:
        array = np.asarray(array)
        if array.ndim not in (4, 5) or 0 in array.shape:
            raise ShapeError(f"found an array of shape {array.shape}, expected (C, D, H, W) or (N, C, D, H, W)")
        if array.dtype.kind == "b":
            array = array.view(np.uint8)
        if array.dtype.kind not in "iuf":
            raise UsageError(f"found an array of type {array.dtype}, expected integers or floats")
        if spacing is not None and not (len(spacing) == 3 and all(0 < s < float("inf") for s in spacing)):
            raise UsageError(
                f"found spacing {spacing}, expected three positive lengths D, H, W in mm", code="usage.spacing"
            )
        self._array = array if array.ndim == 5 else array[None]
        count, channels, depth, height, width = self._array.shape
        shape = (depth, height, width)
        affine = None if spacing is None else _affine(spacing, order)
        self.warnings: list[str] = []
        self.info = VolumeInfo(
            shape, channels, array.dtype.newbyteorder("="), Geometry(affine, shape), batch=count, axes=order
        )

    @property
    def values(self) -> NDArray[Any]:
        """The array itself as (N, C, D, H, W), neither copied nor cast."""
        return self._array

    def window_bytes(self, shape: tuple[int, ...]) -> int:  # noqa: ARG002  (copied in blocks, whatever the window)
        """Return the memory `read` takes beside `out`."""
        return _BLOCK_VALUES * 8

    def load(self, scratch: Path | None) -> None:
        """Do nothing: the values are there."""

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        part = self._array[batch][:, *region.slices()]
        wide = part.dtype.kind in "iu" and part.dtype.itemsize == 8 and out.dtype.kind == "f"
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if not wide or out.dtype.itemsize == 8:
                np.copyto(out, part, casting="same_kind")
                return
            # The value is float64(raw); only that is rounded to float32. A row at a time bounds the temporary.
            for channel, plane in np.ndindex(part.shape[:2]):
                out[channel, plane] = part[channel, plane].astype(np.float64)

    def digest(self) -> str:
        """Return the SHA-256 of type, shape and values, in C order and native byte order."""
        digest = hashlib.sha256(f"{self.info.dtype.str}{self._array.shape}".encode())
        for index in np.ndindex(self._array.shape[:3]):
            digest.update(np.ascontiguousarray(self._array[index], self.info.dtype).tobytes())
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Do nothing: whose array it is knows whether it was changed."""

    def close(self) -> None:
        """Let go of the array."""
        self._array = self._array[:0]


class ArraySink:
    """An array as a `Sink`.

    Parameters
    ----------
    info : OutputInfo

    Attributes
    ----------
    array : (C, D, H, W) or (N, C, D, H, W) array or None
        The result, once finished; None before, and after `abort`.
    """

    path: Path | None = None
    paths: tuple[Path, ...] = ()
    scratch_bytes = 0
    units: tuple[Unit, ...] = ()

    def __init__(self, info: OutputInfo) -> None:
        self.info = info
        self.clipped = self.not_finite = 0
        self.array: NDArray[Any] | None = None
        self._values: NDArray[Any] | None = None

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `write` takes beside `values`; the array itself is the caller's."""
        voxels = self.info.channels * shape[0] * shape[1] * shape[2]
        return voxels * (8 + self.info.dtype.itemsize + 4)

    def create(self) -> None:
        """Make room for the array."""
        try:
            self._values = np.empty((self.info.batch, self.info.channels, *self.info.shape), self.info.dtype)
        except (MemoryError, ValueError) as error:  # ValueError: more bytes than an address can count
            raise RunError(f"no memory for a result of {self.info.nbytes} bytes", code="memory.exhausted") from error

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write `values` (C, d, h, w) at `region` of volume `batch`; integers: half to even, clipped, counted."""
        if self._values is None:
            raise RunError("the result was written to before it was created, or after it was finished")
        stored, clipped = to_stored(values, self.info.dtype)
        self._values[batch][:, *region.slices()] = stored
        self.clipped += clipped
        self.not_finite += count_not_finite(stored)

    def complete(self) -> None:
        """Do nothing: there is no disk."""

    def finish(self) -> None:
        """Show the result."""
        if self._values is not None:
            self.array = self._values if self.info.batch > 1 else self._values[0]
            self._values = None

    def abort(self) -> None:
        """Drop what was begun; a finished result stays."""
        self._values = None


def _affine(spacing: Floats3, order: str) -> NDArray[np.float64]:
    """Return the (d, h, w) affine of that spacing, the first voxel at the origin, x to the right."""
    affine = np.diag([*(float(length) for length in spacing), 1.0])
    return affine if order == "ijk" else affine[[2, 1, 0, 3]]

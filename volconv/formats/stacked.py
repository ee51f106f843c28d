"""Several volumes on one grid as the channels of one: the inputs of a run, in the order they were named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, UsageError
from ..region import Region
from ..volume import VolumeInfo
from .base import Source

TOLERANCE_MM = 1e-3
"""How far corresponding voxels of the inputs may lie apart."""


class StackedSource:
    """Sources as one, channels one after the other; the first one's grid, meta and path stand for all.

    Parameters
    ----------
    sources : sequence of Source
        At least one; closing the stack closes them.

    Raises
    ------
    FormatError
        Two differ in shape, in the number of volumes, or in where their voxels lie by more than 1e-3 mm (a grid of
        unknown place fits any); names both files.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        if not sources:
            raise UsageError("no input was named, expected at least one")
        self.sources = tuple(sources)
        first = self.sources[0]
        for other in self.sources[1:]:
            check_same_grid(first, other)
        infos = [source.info for source in self.sources]
        self.info = infos[0] if len(infos) == 1 else _join(infos)
        self.path: Path | None = first.path
        self.paths: tuple[Path, ...] = tuple(path for source in self.sources for path in source.paths)
        self.spool_bytes = sum(source.spool_bytes for source in self.sources)

    @property
    def warnings(self) -> list[str]:
        """All sources' warnings, with the file's name where there are several."""
        if len(self.sources) == 1:
            return self.sources[0].warnings
        return [f"{name_of(source)}: {text}" for source in self.sources for text in source.warnings]

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` takes beside `out`: caches of all sources, since they stay."""
        return sum(source.window_bytes(shape) for source in self.sources)

    def load(self, scratch: Path | None) -> None:
        """Load every source."""
        for source in self.sources:
            source.load(scratch)

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        begin = 0
        for source in self.sources:
            end = begin + source.info.channels
            source.read(region, out[begin:end], batch)
            begin = end

    def digest(self) -> str:
        """Return the digest of the one source, or of all their digests in order."""
        digests = [source.digest() for source in self.sources]
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def check_unchanged(self) -> None:
        """Raise `RunError` if any file changed."""
        for source in self.sources:
            source.check_unchanged()

    def close(self) -> None:
        """Close every source."""
        for source in self.sources:
            source.close()


def _join(infos: Sequence[VolumeInfo]) -> VolumeInfo:
    """Return what describes all: where stored types or scales differ, a float type that values are read as."""
    first = infos[0]
    alike = all(info.dtype == first.dtype and not info.is_scaled for info in infos)
    return replace(
        first,
        channels=sum(info.channels for info in infos),
        dtype=first.dtype if alike else np.result_type(np.float32, *(info.dtype for info in infos)),
        slope=1.0,
        intercept=0.0,
        chunks=first.chunks if all(info.chunks == first.chunks for info in infos) else None,
        geometry=next((info.geometry for info in infos if info.geometry.affine is not None), first.geometry),
    )


def check_same_grid(first: Source, other: Source, tolerance_mm: float = TOLERANCE_MM) -> None:
    """Raise `FormatError` naming both files unless their voxels lie at the same places, to `tolerance_mm`."""
    a, b = first.info, other.info
    if (a.shape, a.batch) != (b.shape, b.batch):
        raise FormatError(
            f"has {_words(b.shape, b.batch)}, but {name_of(first)} has {_words(a.shape, a.batch)}; inputs of one run "
            "must lie on one grid",
            code="volume.grid",
            file=name_of(other),
        )
    if a.geometry.affine is None or b.geometry.affine is None:
        return
    apart = a.geometry.distance_mm(b.geometry)
    if not apart <= tolerance_mm:
        raise FormatError(
            f"its voxels lie up to {apart:.6g} mm from those of {name_of(first)}, expected at most {tolerance_mm:g}; "
            "inputs of one run must lie on one grid",
            code="volume.grid",
            file=name_of(other),
        )


def name_of(source: Source) -> str:
    """Return what messages call `source`."""
    return str(source.path) if source.path is not None else "an array"


def _words(shape: tuple[int, ...], batch: int) -> str:
    words = f"D,H,W = {','.join(str(n) for n in shape)}"
    return f"{batch} volumes of {words}" if batch > 1 else words

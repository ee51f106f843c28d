"""What wrappers of sources and sinks leave to the one they wrap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..region import Region
from ..volume import OutputInfo, VolumeInfo
from .base import Sink, Source
from .commit import Unit


class ForwardingSource:
    """A source that is `inner` but for what a subclass says otherwise: `info`, `window_bytes`, `read`.

    Parameters
    ----------
    inner : Source
        Closed and loaded with the wrapper.
    info : VolumeInfo
        What `read` gives.
    """

    def __init__(self, inner: Source, info: VolumeInfo) -> None:
        self.inner = inner
        self.info = info
        self.path: Path | None = inner.path
        self.paths: tuple[Path, ...] = inner.paths
        self.spool_bytes = inner.spool_bytes

    @property
    def warnings(self) -> list[str]:
        """The warnings of the wrapped source."""
        return self.inner.warnings

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` takes beside `out` for a window of `shape` (D, H, W)."""
        return self.inner.window_bytes(shape)

    def load(self, scratch: Path | None) -> None:
        """Load the wrapped source."""
        self.inner.load(scratch)

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        self.inner.read(region, out, batch)

    def digest(self) -> str:
        """Return the digest of the wrapped source."""
        return self.inner.digest()

    def check_unchanged(self) -> None:
        """Raise `RunError` if a file changed."""
        self.inner.check_unchanged()

    def close(self) -> None:
        """Close the wrapped source."""
        self.inner.close()


class ForwardingSink:
    """A sink that hands everything to `inner` but for what a subclass says otherwise: `window_bytes`, `write`.

    Parameters
    ----------
    inner : Sink
        Created, finished and aborted with the wrapper.
    """

    def __init__(self, inner: Sink) -> None:
        self.inner = inner
        self.info: OutputInfo = inner.info
        self.path: Path | None = inner.path
        self.paths: tuple[Path, ...] = inner.paths

    @property
    def scratch_bytes(self) -> int:
        """Bytes put into scratch or the part file beside the finished output."""
        return self.inner.scratch_bytes

    @property
    def clipped(self) -> int:
        """Values so far that the output's type could not hold."""
        return self.inner.clipped

    @property
    def not_finite(self) -> int:
        """Values so far that are NaN or infinite."""
        return self.inner.not_finite

    @property
    def resident_bytes(self) -> int:
        """Bytes held from the first `write` to the last, whatever the window."""
        return getattr(self.inner, "resident_bytes", 0)

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `write` takes beside `values` for a window of `shape` (D, H, W)."""
        return self.inner.window_bytes(shape)

    def create(self) -> None:
        """Open the part file."""
        self.inner.create()

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write `values` (C, d, h, w) at `region` of volume `batch`."""
        self.inner.write(region, values, batch)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The part files."""
        return self.inner.units

    def complete(self) -> None:
        """Bring the output to the disk."""
        self.inner.complete()

    def finish(self) -> None:
        """Show the output under its name."""
        self.inner.finish()

    def abort(self) -> None:
        """Remove what was begun."""
        self.inner.abort()

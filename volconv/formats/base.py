"""What the rest of the package may ask of a volume on disk: a source of windows, a sink of windows.

The contract, enforced by `volconv.testing.source_contract` and `volconv.testing.sink_contract`:

- Axes are (C, D, H, W) on this side, whatever the file's order; only readers and writers turn them.
- A source reads its header when opened and nothing else; `load` is called once before the first `read`.
- ``read`` writes value = float64(raw)·slope + intercept, rounded once, into an array of float32 or float64.
  Where `VolumeInfo.is_scaled` is false, `out` may also be of `VolumeInfo.dtype`: then it gets the raw values, bit
  for bit (an int64 or float64 never passes through another type). This is what format conversion copies with.
- `VolumeInfo.dtype` and `OutputInfo.dtype` are in native byte order, whatever the file's.
- A file's oddities that stop nothing (stray bytes, absent chunks) are sentences in `Source.warnings`.
- A sink shows nothing under its final name before ``finish`` returns; ``abort`` leaves no trace.
- Both may be asked for regions in any order; regions of a sink never overlap and cover the whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ..region import Region
from ..volume import OutputInfo, VolumeInfo
from .commit import Unit


class Source(Protocol):
    """A volume that can be read window by window."""

    info: VolumeInfo
    path: Path | None
    paths: tuple[Path, ...]
    """Every file that is read: both halves of a pair."""
    spool_bytes: int
    """Bytes of the voxels once decompressed, where windows cannot be read from the file itself; else 0."""

    @property
    def warnings(self) -> list[str]:
        """What the user should hear about the file: filled when it is opened, by `load`, and at last by `read`."""

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` takes beside `out` for a window of `shape` (D, H, W)."""

    def load(self, scratch: Path | None) -> None:
        """Make windows readable: a compressed stream goes to memory, or to a file in `scratch` where given.

        The stream is drained to its checksum; damage raises `FormatError`.
        """

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""

    def digest(self) -> str:
        """Return the SHA-256 of the file (of all its files, in order) as lower-case hex."""

    def check_unchanged(self) -> None:
        """Raise `RunError` if the file is not the one that was opened (size, mtime, inode)."""

    def close(self) -> None:
        """Let go of files and memory."""


class Sink(Protocol):
    """An output volume that is whole or absent."""

    info: OutputInfo
    path: Path | None
    paths: tuple[Path, ...]
    """Every file that it becomes: both halves of a pair, one a channel."""

    @property
    def scratch_bytes(self) -> int:
        """Bytes it puts into `scratch` or its part file beside the finished output, at most."""

    @property
    def clipped(self) -> int:
        """Values so far that an integer type could not hold: out of range (clipped) or NaN (written as 0)."""

    @property
    def not_finite(self) -> int:
        """Values written so far that are NaN or infinite; always 0 for integers."""

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `write` takes beside `values` for a window of `shape` (D, H, W), caches included."""

    def create(self) -> None:
        """Open the part file; called once, before the first `write`."""

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Write `values` (C, d, h, w) at `region` of volume `batch`; integers: half to even, clipped, counted."""

    @property
    def units(self) -> tuple[Unit, ...]:
        """The part files it becomes, once created: each by itself, or a pair's together; none in memory."""

    def complete(self) -> None:
        """Bring everything to the disk, under hidden names still: the first half of `finish`.

        Outputs that belong together are completed one by one, then `volconv.formats.commit.publish` shows all.
        """

    def finish(self) -> None:
        """Complete, fsync and rename the part file to its final name."""

    def abort(self) -> None:
        """Remove everything that was begun; safe to call at any time, twice too."""

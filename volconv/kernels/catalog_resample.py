"""What linear resampling works in, known before any voxel is read. Knows nothing of numba."""

from __future__ import annotations

RESAMPLE_TASKS = 4
"""Tasks a thread, so that threads even out; each has room of its own."""
_ROOM = 8192  # elements: a row that stays in the first-level cache between two passes over it


def resample_room(channels: int) -> int:
    """Return the elements a task blends rows into: two voxels at least, of channels rounded up as any kernel does."""
    return max(_ROOM, 2 * (channels + 64))


def resample_bytes(channels: int, itemsize: int, threads: int) -> int:
    """Return the bytes of all tasks together."""
    return RESAMPLE_TASKS * threads * resample_room(channels) * itemsize

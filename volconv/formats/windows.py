"""How whole volumes are gone through: in windows of bounded memory that suit the way they are stored."""

from __future__ import annotations

from math import prod

from ..geometry import Triple
from ..volume import VolumeInfo


def window_shape(info: VolumeInfo, values: int, chunks: Triple | None = None) -> Triple:
    """Return the shape (D, H, W) of windows of about `values` voxels.

    Windows are whole chunks where a file has chunks (its own, else `chunks`), grown along the file's fastest axis
    first: a chunk that is cut by windows may have to be decompressed for each.
    """
    chunk = info.chunks or chunks or (1, 1, 1)
    step = [min(c, n) for c, n in zip(chunk, info.shape, strict=True)]
    for axis in info.storage_order[::-1]:
        times = max(1, values // prod(step))
        step[axis] = min(info.shape[axis], step[axis] * times)
        if step[axis] < info.shape[axis]:
            break
    return (step[0], step[1], step[2])

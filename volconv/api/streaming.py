"""Going through whole volumes in windows of bounded memory, for the commands that compute no features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from ..errors import BudgetError
from ..formats.base import Source
from ..geometry import Triple
from ..region import Region
from ..settings import memory_budget
from ..volume import VolumeInfo

WINDOW_BYTES = 64 << 20


def load_in_memory(sources: Sequence[Source]) -> None:
    """Make windows of `sources` readable without a scratch folder.

    Raises
    ------
    BudgetError
        What is compressed does not fit the memory this process may use.
    """
    need, have = sum(source.spool_bytes for source in sources), memory_budget(None)
    if need > have:
        names = ", ".join(str(source.path) for source in sources if source.spool_bytes)
        raise BudgetError(f"needs {need} bytes of memory decompressed, {have} are at hand; decompress it", file=names)
    for source in sources:
        source.load(None)


def windows(
    info: VolumeInfo, bytes_per_value: int, limit: int | None = None, chunks: Triple | None = None
) -> Iterator[tuple[int, Region]]:
    """Yield (batch, region) that cover the volumes of `info`, in windows of about `limit` bytes (`WINDOW_BYTES`).

    Windows are whole chunks where a file has chunks (its own, else `chunks`), grown along W, then H, then D: a chunk
    that is cut by windows may have to be decompressed for each.
    """
    values = max(1, (limit or WINDOW_BYTES) // (bytes_per_value * info.channels))
    step = _grow(info.chunks or chunks or (1, 1, 1), info.shape, values)
    for batch in range(info.batch):
        for part in Region.whole(info.shape).split(step):
            yield batch, part


def _grow(chunk: Triple, shape: Triple, values: int) -> Triple:
    """Return the largest multiple of `chunk` of at most `values` voxels, one chunk at least."""
    step = [min(c, n) for c, n in zip(chunk, shape, strict=True)]
    for axis in (2, 1, 0):
        times = max(1, values // prod(step))
        step[axis] = min(shape[axis], step[axis] * times)
        if step[axis] < shape[axis]:
            break
    return (step[0], step[1], step[2])


def full_shape(info: VolumeInfo) -> tuple[int, ...]:
    """Return N, C, D, H, W."""
    return (info.batch, info.channels, *info.shape)


def values_of(info: VolumeInfo) -> int:
    """Return the number of values in all channels of all volumes."""
    return prod(full_shape(info))

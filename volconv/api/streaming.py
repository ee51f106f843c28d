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

WINDOW_BYTES = 32 << 20


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


def windows(info: VolumeInfo, bytes_per_value: int, limit: int | None = None) -> Iterator[tuple[int, Region]]:
    """Yield (batch, region) that cover the volumes of `info`, of at most `limit` bytes (default `WINDOW_BYTES`).

    Slabs of whole planes along D, a multiple of the file's chunks; rows of planes where one plane is too large.
    """
    region = Region.whole(info.shape)
    step = _step(info, max(1, (limit or WINDOW_BYTES) // (bytes_per_value * info.channels)))
    for batch in range(info.batch):
        for part in region.split(step):
            yield batch, part


def _step(info: VolumeInfo, values: int) -> Triple:
    depth, height, width = info.shape
    chunk = info.chunks or (1, 1, 1)
    if height * width <= values:
        return (_multiple(values // (height * width), chunk[0], depth), height, width)
    if width <= values:
        return (1, _multiple(values // width, chunk[1], height), width)
    return (1, 1, _multiple(values, chunk[2], width))


def _multiple(count: int, chunk: int, length: int) -> int:
    """Return the largest multiple of `chunk` up to `count`, if there is one, and no more than `length`."""
    return min(length, count // chunk * chunk or count)


def full_shape(info: VolumeInfo) -> tuple[int, ...]:
    """Return N, C, D, H, W."""
    return (info.batch, info.channels, *info.shape)


def values_of(info: VolumeInfo) -> int:
    """Return the number of values in all channels of all volumes."""
    return prod(full_shape(info))

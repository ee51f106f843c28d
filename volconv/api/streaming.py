"""Going through whole volumes in windows of bounded memory, for the commands that compute no features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from ..errors import BudgetError
from ..formats.base import Source
from ..formats.windows import window_shape
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
        raise BudgetError(
            f"needs {need} bytes of memory decompressed, {have} are at hand; decompress it",
            code="memory.budget",
            file=names,
        )
    for source in sources:
        source.load(None)


def windows(
    info: VolumeInfo, bytes_per_value: int, limit: int | None = None, chunks: Triple | None = None
) -> Iterator[tuple[int, Region]]:
    """Yield (batch, region) that cover the volumes of `info`, in windows of about `limit` bytes (`WINDOW_BYTES`).

    Windows are whole chunks where a file has chunks (its own, else `chunks`); see `window_shape`.
    """
    values = max(1, (limit or WINDOW_BYTES) // (bytes_per_value * info.channels))
    step = window_shape(info, values, chunks)
    for batch in range(info.batch):
        for part in Region.whole(info.shape).split(step):
            yield batch, part


def full_shape(info: VolumeInfo) -> tuple[int, ...]:
    """Return N, C, D, H, W."""
    return (info.batch, info.channels, *info.shape)


def values_of(info: VolumeInfo) -> int:
    """Return the number of values in all channels of all volumes."""
    return prod(full_shape(info))

"""Label maps that are finished after the last tile: gathered whole in memory, changed, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.whole.base import check_library
from ..engine.whole.registry import change_labels, held_bytes, held_dtype, work_bytes
from ..errors import RunError
from ..formats.base import Sink
from ..graph.trailing import Chain
from ..region import Region


def by_source(chains: Mapping[str, Chain]) -> dict[str, dict[str, Chain]]:
    """Return `chains`, by output, in groups that begin with the same stage."""
    groups: dict[str, dict[str, Chain]] = {}
    for output, chain in chains.items():
        groups.setdefault(chain.source, {})[output] = chain
    return groups


def gathered_bytes(chains: Mapping[str, Chain], batch: int) -> int:
    """Return the bytes of all label maps that `chains` begin with, for `batch` volumes."""
    return batch * sum(held_bytes(list(group.values())) for group in by_source(chains).values())


def finishing_bytes(chains: Mapping[str, Chain]) -> int:
    """Return the bytes that finishing takes beside what is gathered: label maps are finished one after the other."""
    return max((work_bytes(list(group.values())) for group in by_source(chains).values()), default=0)


def check_installed(chains: Mapping[str, Chain]) -> None:
    """Raise `UsageError` where `chains` need a library that is not installed."""
    if any(node.op.kernel in ("largest_component", "fill_holes") for chain in chains.values() for node in chain.nodes):
        check_library()


class GatheredLabels:
    """The label map of one stage, for all volumes, and the outputs it becomes.

    It takes tiles as a sink does, in any order.

    Parameters
    ----------
    chains : mapping
        Output name to what makes it; all begin with the stage whose tiles come here.
    batch : int
        Volumes.

    Raises
    ------
    RunError
        There is no memory for it.
    """

    def __init__(self, chains: Mapping[str, Chain], batch: int) -> None:
        self._chains = dict(chains)
        wire = next(iter(chains.values())).wire
        shape = (batch, wire.channels, *wire.shape)
        try:
            self._labels: NDArray[Any] = np.zeros(shape, held_dtype(list(chains.values())))
        except MemoryError as error:
            raise RunError(f"no memory for a label map of shape {shape}", code="memory.exhausted") from error

    def write(self, region: Region, values: NDArray[Any], batch: int = 0) -> None:
        """Take `values` (C, d, h, w), whole numbers of any type, at `region` of volume `batch`."""
        self._labels[batch][:, *region.slices()] = values

    def finish(self, batch: int) -> dict[str, NDArray[Any]]:
        """Return the outputs (C, D, H, W) of volume `batch`, whose label map is gone then."""
        out, outputs = {}, list(self._chains.items())
        for n, (output, chain) in enumerate(outputs):
            try:
                labels = self._labels[batch] if n == len(outputs) - 1 else self._labels[batch].copy()
                change_labels(chain, labels)
            except MemoryError as error:
                raise RunError(
                    f"no memory to finish the label map {output!r}; give a smaller --memory", code="memory.exhausted"
                ) from error
            out[output] = labels
        return out

    def write_all(self, sinks: Mapping[str, Sequence[Sink]]) -> None:
        """Finish every volume and write each output to its sinks."""
        for batch in range(len(self._labels)):
            for output, labels in self.finish(batch).items():
                for sink in sinks[output]:
                    sink.write(Region.whole(labels.shape[1:]), labels, batch)


def gather_labels(chains: Mapping[str, Chain], batch: int) -> dict[str, GatheredLabels]:
    """Return room for every label map that `chains` begin with, by its stage."""
    return {source: GatheredLabels(group, batch) for source, group in by_source(chains).items()}

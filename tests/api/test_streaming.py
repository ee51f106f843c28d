"""Windows over whole volumes: covering, bounded, whole chunks."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.api import streaming
from volconv.api.streaming import load_in_memory, windows
from volconv.errors import BudgetError
from volconv.formats.in_memory import ArraySource
from volconv.geometry import Geometry
from volconv.volume import VolumeInfo

SHAPES = st.tuples(*[st.integers(1, 30)] * 3)


@given(shape=SHAPES, chunks=st.none() | SHAPES, batch=st.integers(1, 2), limit=st.integers(1, 20_000))
def test_windows_cover_once(
    shape: tuple[int, int, int], chunks: tuple[int, int, int] | None, batch: int, limit: int
) -> None:
    info = VolumeInfo(shape, 2, np.dtype("f4"), Geometry(None, shape), batch=batch, chunks=chunks)
    seen = np.zeros((batch, *shape), int)
    for index, region in windows(info, 4, limit):
        seen[index][region.slices()] += 1
        assert region.size * 8 <= max(limit, 8 * prod(chunks or (1, 1, 1)))
        if chunks is not None:
            assert all(a % min(c, n) == 0 for a, c, n in zip(region.start, chunks, shape, strict=True))
    assert (seen == 1).all()


def test_what_does_not_fit_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ArraySource(np.zeros((1, 2, 2, 2)))
    source.spool_bytes = 1 << 60  # type: ignore[misc]
    with pytest.raises(BudgetError, match="decompress"):
        load_in_memory([source])
    monkeypatch.setattr(source, "spool_bytes", 0)
    load_in_memory([source])
    assert streaming.values_of(source.info) == 8

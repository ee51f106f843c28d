"""Cutting windows into reads: covering, bounded, one visit a chunk."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.formats import hdf5_pieces
from volconv.formats.hdf5_pieces import split_pieces
from volconv.region import Region


@st.composite
def cases(draw: st.DrawFn) -> tuple[Region, tuple[int, ...] | None, int]:
    ndim = draw(st.integers(2, 4))
    start = draw(st.tuples(*[st.integers(0, 20)] * ndim))
    extent = draw(st.tuples(*[st.integers(1, 20)] * ndim))
    chunks = draw(st.none() | st.tuples(*[st.integers(1, 12)] * ndim))
    return (
        Region(start, tuple(a + n for a, n in zip(start, extent, strict=True))),
        chunks,
        draw(st.sampled_from([1, 8])),
    )


@given(case=cases(), limit=st.integers(1, 4000))
@settings(deadline=None)
def test_pieces_cover_once_and_are_bounded(case: tuple[Region, tuple[int, ...] | None, int], limit: int) -> None:
    wanted, chunks, itemsize = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5_pieces, "PIECE_BYTES", limit)
        pieces = split_pieces(wanted, chunks, itemsize)
    seen = np.zeros(wanted.shape, int)
    for piece in pieces:
        assert piece.size * itemsize <= max(limit, itemsize)
        seen[piece.slices(wanted.start)] += 1
    assert (seen == 1).all()


def test_a_chunk_larger_than_a_piece_is_read_in_one_go_of_pieces() -> None:
    chunks = (64, 256, 256)
    pieces = split_pieces(Region.whole((64, 512, 512)), chunks, 8)
    order = [tuple(a // c for a, c in zip(piece.start, chunks, strict=True)) for piece in pieces]
    assert len(pieces) > 4
    assert sorted(order) == order


def test_small_chunks_are_joined_along_the_last_axes() -> None:
    pieces = split_pieces(Region.whole((100, 100, 100)), (10, 10, 10), 4)
    assert len(pieces) == 2
    assert all(prod(piece.shape[1:]) == 10_000 for piece in pieces)

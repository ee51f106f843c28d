"""How a window of an HDF5 dataset is cut into reads of bounded memory; arithmetic and creation properties only."""

from __future__ import annotations

from itertools import product
from math import ceil, prod

import h5py

from ..region import Region
from .hdf5_guard import resolve

PIECE_BYTES = 4 << 20
"""Raw bytes asked of HDF5 at once: conversion to the type wanted goes piece by piece."""

CACHE_BYTES = 16 << 20
"""Decompressed chunks kept, so that halos of neighbouring windows need not be decompressed again."""

CACHE_SLOTS = 12_289
"""Prime, as H5Pset_chunk_cache wants it; 96 KiB."""


def cache_plan(file: h5py.File, dataset: h5py.Dataset, shown: str) -> tuple[int, int]:
    """Return the bytes of chunk cache to ask for, and of the largest chunk that must be decompressed whole.

    A filtered chunk is decompressed whole however little of it is wanted, so it must fit the cache or every piece
    pays for it again; an unfiltered one is read in part. A virtual dataset opens its sources with the same cache
    each, so they get none.
    """
    todo, largest, virtual = [dataset], 0, False
    while todo:
        item = todo.pop()
        properties = item.id.get_create_plist()
        if properties.get_layout() == h5py.h5d.VIRTUAL:
            virtual = True
            names = {properties.get_virtual_dsetname(i) for i in range(properties.get_virtual_count())}
            todo += [resolve(file, name, shown) for name in sorted(names)]
        elif properties.get_layout() == h5py.h5d.CHUNKED and properties.get_nfilters():
            largest = max(largest, prod(properties.get_chunk()) * item.dtype.itemsize)
    if virtual or dataset.chunks is None:
        return 0, largest
    return max(CACHE_BYTES, largest), largest


def split_pieces(wanted: Region, chunks: tuple[int, ...] | None, itemsize: int) -> list[Region]:
    """Return boxes of at most `PIECE_BYTES` that cover `wanted`, in an order that opens each chunk once.

    Parameters
    ----------
    wanted : Region
        In the file's axes.
    chunks : tuple of int or None
        The dataset's chunk shape.
    itemsize : int
        Bytes a value.

    Notes
    -----
    A chunk larger than a piece is read in several pieces, one after the other, so that it stays in the cache;
    small chunks are joined along the last axes.
    """
    limit = max(1, PIECE_BYTES // itemsize)
    if chunks is None:
        return list(wanted.split(_shrink(wanted.shape, limit)))
    block = _grow(chunks, wanted.shape, limit)
    pieces: list[Region] = []
    for part in split_chunks(wanted, block):
        pieces += part.split(_shrink(part.shape, limit))
    return pieces


def split_chunks(wanted: Region, chunks: tuple[int, ...]) -> list[Region]:
    """Return the parts of `wanted` that lie in each cell of the grid of `chunks`, which starts at index 0."""
    grid = [range(a // n * n, b, n) for a, b, n in zip(wanted.start, wanted.stop, chunks, strict=True)]
    cells = (Region(corner, tuple(c + n for c, n in zip(corner, chunks, strict=True))) for corner in product(*grid))
    return [cell.clip(wanted) for cell in cells]


def _shrink(shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """Return the largest box of at most `limit` values that is whole along the last axes."""
    out = list(shape)
    for axis in range(len(shape)):
        rest = prod(out[axis + 1 :])
        out[axis] = max(1, min(shape[axis], limit // max(1, rest)))
    return tuple(out)


def _grow(chunks: tuple[int, ...], shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """Return a multiple of `chunks` of at most `limit` values, grown along the last axes first."""
    out = list(chunks)
    for axis in reversed(range(len(chunks))):
        room = limit // max(1, prod(out))
        if room > 1:
            out[axis] *= min(room, ceil(shape[axis] / chunks[axis]) + 1)
    return tuple(out)

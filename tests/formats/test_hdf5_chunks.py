"""Chunk shapes, and the checksum against HDF5's own, which h5py stores behind each chunk."""

from __future__ import annotations

import io
from math import ceil, prod

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.formats.hdf5_chunks import CHUNK_VOXELS, chunk_shape, fletcher32


def stored_checksum(data: bytes) -> bytes:
    """Return what libhdf5 itself puts behind `data`."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        dataset = file.create_dataset("d", data=np.frombuffer(data, np.uint8), chunks=(len(data),), fletcher32=True)
        file.flush()
        _mask, chunk = dataset.id.read_direct_chunk((0,))
    assert chunk[:-4] == data
    return bytes(chunk[-4:])


@given(st.binary(min_size=1, max_size=3000))
@settings(max_examples=60, deadline=None)
def test_checksum_is_that_of_libhdf5(data: bytes) -> None:
    assert fletcher32(data) == stored_checksum(data)


@pytest.mark.parametrize("size", [1, 2, 8191, 8192, 8193, 100_000, 1 << 20])
@pytest.mark.parametrize("fill", [0x00, 0xFF, None])
def test_checksum_of_long_and_uniform_data(size: int, fill: int | None) -> None:
    data = np.random.default_rng(size).bytes(size) if fill is None else bytes([fill]) * size
    assert fletcher32(data) == stored_checksum(data)
    assert fletcher32(memoryview(data)) == fletcher32(bytearray(data))


@given(st.tuples(*[st.integers(1, 5000)] * 3))
def test_chunks_are_bounded_and_waste_little(shape: tuple[int, int, int]) -> None:
    chunks = chunk_shape(shape)
    assert prod(chunks) <= CHUNK_VOXELS
    for length, chunk in zip(shape, chunks, strict=True):
        count = ceil(length / chunk)
        assert 1 <= chunk <= length
        assert count * chunk - length < count


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((256, 256, 256), (64, 64, 64)),
        ((64, 64, 64), (64, 64, 64)),
        ((3, 4, 5), (3, 4, 5)),
        ((1, 1024, 1024), (1, 512, 512)),
        ((4, 1 << 20, 1), (4, 1 << 16, 1)),
        ((65, 512, 512), (33, 64, 64)),
    ],
)
def test_chunks_are_about_cubic(shape: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    assert chunk_shape(shape) == expected

"""The frame of an HDF5 file: where chunks lie, that nothing but metadata is written, and the way without skipping."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from volconv.errors import RunError
from volconv.formats.hdf5_layout import DatasetLayout, lay_out

LAYOUT = DatasetLayout("/g/d", "czyx", (2, 100, 90, 80), (1, 34, 45, 40), np.dtype("<f4"), None)


def make(path: Path, record: str = "{}") -> list[np.ndarray]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        return list(lay_out(fd, [LAYOUT], record, str(path)))
    finally:
        os.close(fd)


def test_places_are_those_h5py_finds_and_the_voxels_are_a_hole(tmp_path: Path) -> None:
    (places,) = make(tmp_path / "a.h5")
    assert places.shape == LAYOUT.grid == (2, 3, 2, 2)
    with h5py.File(tmp_path / "a.h5") as file:
        for index in np.ndindex(places.shape):
            corner = tuple(i * c for i, c in zip(index, LAYOUT.chunks, strict=True))
            info = file["g/d"].id.get_chunk_info_by_coord(corner)
            assert info.byte_offset == places[index]
            assert info.size == LAYOUT.chunk_bytes + 4
        # A chunk of zeros has the checksum 0: the hole is a volume of zeros.
        assert not file["g/d"][()].any()
    assert (np.diff(places.ravel()) > 0).all()
    status = (tmp_path / "a.h5").stat()
    assert status.st_size <= LAYOUT.nbytes + 8192
    assert status.st_blocks * 512 < 100_000


def test_chunks_as_long_as_some_piece_of_metadata(tmp_path: Path) -> None:
    # The superblock is written as 48 bytes, object headers and the index of chunks as some hundreds.
    for length in range(1, 700):
        layout = DatasetLayout("/d", "zyx", (1, 1, 2 * length), (1, 1, length), np.dtype("u1"), None)
        fd = os.open(tmp_path / "a.h5", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        lay_out(fd, [layout], "{}", "a.h5")
        os.close(fd)
        with h5py.File(tmp_path / "a.h5", locking=False) as file:
            assert not file["d"][()].any()
            assert file.attrs["volconv"] == b"{}"


def test_a_disk_that_fails_is_one_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "a.h5", os.O_RDONLY | os.O_CREAT)
    with pytest.raises(RunError, match="cannot be written"):
        lay_out(fd, [LAYOUT], "{}", "a.h5")
    os.close(fd)


def test_thousands_of_chunks(tmp_path: Path) -> None:
    layout = DatasetLayout("/d", "zyx", (500, 400, 30), (5, 4, 3), np.dtype("<i2"), np.eye(4))
    fd = os.open(tmp_path / "a.h5", os.O_RDWR | os.O_CREAT)
    (places,) = lay_out(fd, [layout], "", "a.h5")
    os.close(fd)
    assert places.size == 100_000
    assert len(np.unique(places)) == 100_000
    assert (tmp_path / "a.h5").stat().st_size <= layout.nbytes + 8192

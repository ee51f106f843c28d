"""Bytes by position, whole or an error."""

import os

import numpy as np
import pytest

from volconv.errors import RunError
from volconv.formats.disk import read_all, reserve, sync_folder, write_all


@pytest.fixture
def fd(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_written_is_read_back(fd):
    data = os.urandom(5000)
    write_all(fd, data, 17, "file")
    out = bytearray(5000)
    read_all(fd, memoryview(out), 17, "file")
    assert out == data


def test_views_of_wider_types(fd):
    values = np.arange(10, dtype=np.float32)
    write_all(fd, values.data, 0, "file")
    assert os.pread(fd, 100, 0) == values.tobytes()


def test_reading_past_the_end(fd):
    write_all(fd, b"abc", 0, "file")
    with pytest.raises(RunError, match="ends at byte 3"):
        read_all(fd, memoryview(bytearray(5)), 0, "file")


def test_a_full_device():
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(RunError, match="No space left"):
            write_all(fd, b"abc", 0, "file")
    finally:
        os.close(fd)


def test_reserving_never_shortens(fd):
    write_all(fd, bytes(100), 0, "file")
    reserve(fd, 50, "file")
    assert os.fstat(fd).st_size == 100
    reserve(fd, 0, "file")
    reserve(fd, 300, "file")
    assert os.fstat(fd).st_size == 300


def test_folders_that_cannot_be_synced(tmp_path):
    sync_folder(tmp_path, "file")
    sync_folder(tmp_path / "missing", "file")

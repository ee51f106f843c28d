"""HDF5 files as libhdf5 reads them by a stream: the same bytes, but for heaps it would never come to the end of."""

import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.hdf5_stream import Hdf5Stream, find_superblock

HEAD = 16
TEXTS = {f"text{i}": "é" * (i * i % 97) for i in range(400)} | {"long": "x" * 70_000}


class Content(bytes):
    """Bytes that are too many to be shown."""

    def __repr__(self):
        return f"{len(self)} bytes"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A file with texts of any length, a virtual dataset, and numbers that are no heap."""
    path = tmp_path_factory.mktemp("h5") / "a.h5"
    layout = h5py.VirtualLayout((4, 5), "f8")
    layout[:] = h5py.VirtualSource(".", "raw", (4, 5))
    with h5py.File(path, "w", libver="latest") as file:
        file["raw"] = np.arange(20.0).reshape(4, 5)
        file["heaps"] = np.frombuffer(b"GCOL\x01\0\0\0" * 3, "u1")
        for name, text in TEXTS.items():
            file.attrs[name] = text
        file.create_virtual_dataset("v", layout)
    return Content(path.read_bytes())


def stream(content):
    def fill(offset, out):
        assert 0 <= offset <= offset + len(out) <= len(content)
        out[:] = content[offset : offset + len(out)]

    return Hdf5Stream(fill, len(content))


def heaps(content):
    """Yield where each heap collection begins, and its length."""
    at = content.find(b"GCOL\x01\0\0\0")
    while at >= 0:
        size = int.from_bytes(content[at + 8 : at + HEAD], "little")
        if 4096 <= size <= len(content) - at:
            yield at, size
        at = content.find(b"GCOL\x01\0\0\0", at + 1)


def objects(content, heap, size):
    """Yield where each object of a heap begins, its number and its length."""
    at = heap + HEAD
    while at + HEAD <= heap + size:
        number, length = struct.unpack("<H6xQ", content[at : at + HEAD])
        yield at, number, length
        at += length if number == 0 else HEAD + -(-length // 8) * 8


def test_good_files_read_as_they_are(content):
    assert len(list(heaps(content))) > 1
    with h5py.File(stream(content), "r") as file:
        assert {name: file.attrs[name] for name in TEXTS} == TEXTS
        np.testing.assert_array_equal(file["v"][:], np.arange(20.0).reshape(4, 5))


@pytest.mark.parametrize("block", [0, 512, 2048])
def test_where_the_superblock_begins(content, block):
    moved = bytes(block) + content

    def fill(offset, out):
        out[:] = moved[offset : offset + len(out)]

    assert find_superblock(fill, len(moved)) == block
    assert find_superblock(lambda _offset, _out: None, len(moved)) is None


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 20))
def test_any_piece_holds_the_files_bytes(content, at, count):
    at, count = at % (len(content) + 9), count % len(content)
    reading = stream(content)
    reading.seek(at)
    found = reading.read(count)
    expected = content[at : at + count].ljust(count, b"\0")
    # the numbers that look like a heap are none
    known = content.find(b"GCOL\x01\0\0\0" * 3)
    for i in range(known, known + 24):
        if at <= i < at + count:
            found = found[: i - at] + expected[i - at : i - at + 1] + found[i - at + 1 :]
    assert found == expected
    assert reading.tell() == at + count


def damaged(content, number, length):
    """Yield the file with the first free space, or object, of each heap said to be `length` bytes."""
    for heap, size in heaps(content):
        at = next((at for at, n, _ in objects(content, heap, size) if (n == 0) == (number == 0)), None)
        if at is not None:
            yield content[: at + 8] + struct.pack("<Q", length) + content[at + HEAD :]


@pytest.mark.parametrize(
    ("number", "length"), [(0, 0), (0, 1 << 63), (1, 2**64 - 16), (1, 2**64 - 1), (1, 1 << 40)]
)  # fmt: skip
def test_a_heap_without_end_is_hidden(content, number, length):
    files = list(damaged(content, number, length))
    assert files
    for bad in files:
        with h5py.File(stream(bad), "r") as file, pytest.raises(OSError, match="heap"):
            list(file.attrs.items()), file["v"][:]


@given(st.integers(1, 7))
def test_a_mark_in_two_pieces_is_seen(content, cut):
    bad = next(damaged(content, 0, 0))
    reading = stream(bad)
    heap = next(heap for heap, size in heaps(bad) if not reading._walk(heap))
    reading.seek(heap + cut - 40)
    pieces = reading.read(40) + reading.read(40)
    assert pieces[40 - cut : 48 - cut] == bytes(8)
    assert pieces[48 - cut :] == bad[heap + 8 : heap + 40 + cut]


def test_long_pieces_are_looked_at_where_they_begin():
    head = b"GCOL\x01\0\0\0" + struct.pack("<Q", 2 << 20)
    bad = b"\x89HDF\r\n\x1a\n" + bytes([3, 8, 8]) + bytes(5) + head + bytes(2 << 20)
    reading = stream(bad)
    reading.seek(16)
    assert reading.read(2 << 20)[:16] == bytes(8) + head[8:]


def test_libhdf5_still_needs_it(content, tmp_path):
    """Once this fails, libhdf5 comes to an end by itself, and the stream may go."""
    (tmp_path / "a.h5").write_bytes(next(damaged(content, 0, 0)))
    program = "import h5py, sys\nfile = h5py.File(sys.argv[1])\nfor name in file.attrs: file.attrs[name]"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", program, tmp_path / "a.h5"], check=False, timeout=3)

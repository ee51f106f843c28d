"""gzip to its last checksum; Python's gzip module as the oracle both ways."""

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import FormatError
from volconv.formats.gzip_stream import GzipReader, pack_gzip
from volconv.formats.input_file import InputFile


@pytest.fixture
def unpack(tmp_path):
    def unpack(packed, count=1 << 16):
        path = tmp_path / "a.gz"
        path.write_bytes(packed)
        file = InputFile(path)
        try:
            stream, parts = GzipReader(file), []
            while part := stream.read(count):
                assert len(part) <= count
                parts.append(part)
            assert stream.read(count) == b""
            data = b"".join(parts)
            assert stream.produced == len(data)
            return data, stream.stray
        finally:
            file.close()

    return unpack


def make_data(size=300_000):
    rng = np.random.default_rng(1)
    return (rng.integers(0, 4, size, dtype=np.uint8) * rng.integers(0, 60, size, dtype=np.uint8)).tobytes()


@pytest.mark.parametrize("count", [1, 1000, 1 << 20])
def test_reads_what_gzip_wrote(unpack, count):
    data = make_data(5000 if count == 1 else 300_000)
    assert unpack(gzip.compress(data), count) == (data, 0)


def test_reads_several_members_and_padding(unpack):
    parts = [make_data(70_000), b"", make_data(5)]
    packed = b"".join(gzip.compress(p) + bytes(n) for p, n in zip(parts, (0, 3, 200_000), strict=True))
    assert unpack(packed) == (b"".join(parts), 0)


@pytest.mark.parametrize("stray", [b"x", b"\x1f", b"hello", b"\0\0\0hello" * 30_000])
def test_counts_what_is_not_gzip_behind_it(unpack, stray):
    data = make_data(1000)
    assert unpack(gzip.compress(data) + stray) == (data, len(stray.lstrip(b"\0")))


def test_every_truncation_is_found(unpack):
    packed = gzip.compress(make_data(2000))
    for length in range(2, len(packed), 7):
        with pytest.raises(FormatError, match="ends early"):
            unpack(packed[:length])
    for length in range(len(packed) - 9, len(packed)):
        with pytest.raises(FormatError, match="ends early"):
            unpack(packed[:length])


def test_says_how_much_was_expected(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(1000))[:-6])
    stream = GzipReader(InputFile(path))
    stream.expected = 1000
    assert len(stream.read(1000)) == 1000
    with pytest.raises(FormatError, match="found 1000 bytes when unpacked, expected 1000"):
        stream.read(1)


def test_no_mutation_changes_the_data_in_silence(unpack):
    data, rng = make_data(4000), np.random.default_rng(2)
    packed = gzip.compress(data)
    harmless = 0
    for _ in range(1000):
        damaged = bytearray(packed)
        for at in rng.integers(0, len(packed), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        try:
            assert unpack(bytes(damaged))[0] == data
            harmless += 1
        except FormatError:
            continue
    assert harmless < 100


def test_drain_stops_at_the_limit(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    stream = GzipReader(InputFile(path))
    assert len(stream.read(100)) == 100
    assert 1_000_000 < stream.drain(1_000_000) < 1_200_000


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("sizes", [(), (0,), (1,), (352, 70_000, 70_000, 12), (5,) * 40])
def test_packs_what_gzip_reads(unpack, threads, sizes):
    blocks = [make_data(n) for n in sizes]
    out = bytearray()
    pack_gzip(iter(blocks), out.extend, threads)
    data = b"".join(blocks)
    assert gzip.decompress(out) == data
    assert unpack(bytes(out)) == (data, 0)
    member = zlib.decompressobj(31)
    assert member.decompress(bytes(out)) == data
    assert member.eof
    assert member.unused_data == b""
    assert out[4:8] == bytes(4), "a time would make two equal runs differ"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=12), st.integers(1, 4))
def test_packed_bytes_depend_on_the_blocks_alone(blocks, threads):
    one, many = bytearray(), bytearray()
    pack_gzip(iter(blocks), one.extend, 1)
    pack_gzip(iter(blocks), many.extend, threads)
    assert one == many
    assert gzip.decompress(one) == b"".join(blocks)


def test_a_failing_write_ends_the_packing():
    def fail(_):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        pack_gzip((make_data(1000) for _ in range(100)), fail, 2)

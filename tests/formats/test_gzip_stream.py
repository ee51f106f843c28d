"""gzip to its last checksum; Python's gzip module as the oracle both ways."""

import gzip
import itertools
import zlib
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zlib_ng import zlib_ng

from volconv.errors import FormatError
from volconv.formats.gzip_stream import PACK_BLOCK, GzipPacker, GzipReader
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


def pack(parts, threads=1):
    out = bytearray()
    packer = GzipPacker(out.extend, threads)
    for part in parts:
        packer.feed(memoryview(part))
    packer.finish()
    return bytes(out)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("sizes", [(), (0,), (1,), (352, 70_000, 70_000, 12), (5,) * 40, (3 * PACK_BLOCK, 7)])
def test_packs_what_gzip_reads(unpack, threads, sizes):
    blocks = [make_data(n) for n in sizes]
    out = pack(blocks, threads)
    data = b"".join(blocks)
    assert gzip.decompress(out) == data
    assert unpack(out) == (data, 0)
    member = zlib.decompressobj(31)
    assert member.decompress(out) == data
    assert member.eof
    assert member.unused_data == b""
    assert out[4:8] == bytes(4), "a time would make two equal runs differ"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5 * PACK_BLOCK // 4), max_size=6), st.integers(1, 4))
def test_packed_bytes_depend_on_the_data_alone(cuts, threads):
    data = make_data(4 * PACK_BLOCK)
    edges = sorted({0, len(data), *cuts})
    parts = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert pack(parts, threads) == pack([data])


@pytest.mark.parametrize("size", [*range(70), 255, 256, 257, 16383, 16384, PACK_BLOCK - 1, PACK_BLOCK + 47])
def test_packs_every_size(size):
    assert gzip.decompress(pack([make_data(size)])) == make_data(size)


def test_what_is_fed_is_the_callers_again():
    data = np.frombuffer(make_data(5 * PACK_BLOCK), np.uint8)
    out, buffer = bytearray(), np.empty(PACK_BLOCK, np.uint8)
    packer = GzipPacker(out.extend, 2)
    for part in np.split(data, 5):
        buffer[:] = part
        packer.feed(buffer.data)
    packer.finish()
    assert gzip.decompress(out) == data.tobytes()


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("zeros", 4000),
        ("constant", 8000),
        ("constant64", 8000),
        ("enlarged", 330_000),
        ("noise", 1_000_000),
        ("labels", 60_000),
    ],
)
def test_packs_what_volumes_hold(name, packed):
    """Each size is a little above what a full search for matches gives; runs of bytes alone miss the constants."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(1 << 18, dtype=np.float32)
    data = {
        "zeros": np.zeros(1 << 18, np.float32),
        "constant": np.full(1 << 18, -1.2345, np.float32),
        "constant64": np.full(1 << 17, -1.2345, np.float64),
        "enlarged": noise[: 1 << 16].reshape(64, 1024).repeat(2, axis=0).repeat(2, axis=1),
        "noise": noise,
        "labels": np.repeat(rng.integers(0, 4, 1 << 15).astype(np.uint8), 32),
    }[name]
    assert len(pack([data.tobytes()])) < packed


@pytest.mark.skipif(zlib_ng.ZLIBNG_RUNTIME_VERSION != "2.3.3", reason="the bytes of zlib-ng 2.3.3")
def test_known_bytes():
    """The same on every processor; a change here is one that users see as other files from equal runs."""
    assert sha256(pack([make_data(300_000)])).hexdigest()[:16] == "f09ac6714777c1b0"
    constant = np.full(1 << 16, -1.2345, np.float32).tobytes()
    assert sha256(pack([constant])).hexdigest()[:16] == "049e66a991555d81"


@pytest.mark.parametrize("size", [1000, 40 * PACK_BLOCK])
def test_a_failing_write_ends_the_packing(size):
    def fail(data):
        if len(data) > 10:
            raise OSError("disk full")

    packer = GzipPacker(fail, 2)

    def pack_all():
        packer.feed(memoryview(make_data(size)))
        packer.finish()

    with pytest.raises(OSError, match="disk full"):
        pack_all()
    packer.close()
    packer.close()

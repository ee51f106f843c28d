"""Zip archives: what zipfile writes comes back; lying directories do not."""

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volconv.errors import WeightsError
from volconv.weights.weight_file import WeightFile
from volconv.weights.zip_archive import read_member, read_members


def unpack(path, content, block_bytes=1 << 18):
    path.write_bytes(content)
    file = WeightFile(path)
    try:
        return {n: b"".join(read_member(file, m, block_bytes)) for n, m in read_members(file).items()}
    finally:
        file.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.dictionaries(st.text("abc/ü.", min_size=1, max_size=8), st.binary(max_size=600), max_size=5),
    packed=st.booleans(),
    streamed=st.booleans(),
    block_bytes=st.sampled_from([1, 7, 1 << 18]),
    comment=st.binary(max_size=30),
)
def test_whatever_zipfile_writes(tmp_path, members, packed, streamed, block_bytes, comment):
    out = io.BytesIO()
    if streamed:  # sizes then follow the data
        out.seekable = lambda: False
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=len(content) % 2 == 0) as member:
                member.write(content)
        archive.comment = comment
    assert unpack(tmp_path / "z", out.getvalue(), block_bytes) == members


def test_highly_compressible(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(3_000_000))
    assert unpack(tmp_path / "z", out.getvalue(), 1024) == {"a": bytes(3_000_000)}


def test_the_64_bit_end_record(tmp_path, zips):
    """As PyTorch writes it: always there, though every number fits the short one."""
    content = zips[0]([("a", b"xyz")])
    body, end = content[:-22], content[-22:]
    _, _, _, _, count, size, start, _ = struct.unpack("<4s4H2LH", end)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body), 1)
    assert unpack(tmp_path / "z", body + record + locator + end) == {"a": b"xyz"}
    ones = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert unpack(tmp_path / "z", body + record + locator + ones) == {"a": b"xyz"}
    other = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, size, start, 0)
    for bad in (body + record + locator + other, body + locator + record + end, locator + end):
        with pytest.raises(WeightsError):
            unpack(tmp_path / "z", bad)


DATA = b"some bytes" * 5


def deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"flags": 1}, "encrypted"),
        ({"flags": 0x40}, "encrypted"),
        ({"method": 12}, "method 12"),
        ({"method": 99}, "method 99"),
        ({"crc": 1}, "checksum"),
        ({"size": 49}, "a size that its packing allows"),
        ({"size": 0xFFFFFFFF}, "no zip64 size"),
        ({"packed": 51, "size": 51}, "end before the directory"),
        ({"packed": 2**31, "size": 2**31}, "end before the directory"),
        ({"begin": 5}, "another header"),
        ({"begin": 2**31}, "cut short"),
        ({"method": 8}, "does not unpack"),
        ({"method": 8, "data": deflate(DATA), "size": 50}, "checksum"),
        ({"method": 8, "data": deflate(DATA), "size": 49, "crc": zlib.crc32(DATA)}, "another size"),
        ({"method": 8, "data": deflate(DATA), "size": 51, "crc": zlib.crc32(DATA)}, "another size"),
        ({"method": 8, "data": deflate(DATA)[:-3], "size": 50, "crc": zlib.crc32(DATA)}, "another"),
        ({"method": 8, "data": deflate(DATA), "size": 10**6}, "a size that its packing allows"),
    ],
)
def test_lying_fields(tmp_path, zips, fields, match):
    content = zips[1]([{"name": "ok", "data": b"1"}, {"name": "bad", "data": DATA} | fields])
    with pytest.raises(WeightsError, match=match):
        unpack(tmp_path / "z", content)


def test_duplicate_names(tmp_path, zips):
    with pytest.raises(WeightsError, match="two members named a"):
        unpack(tmp_path / "z", zips[1]([{"name": "a", "data": b"1"}, {"name": "a", "data": b"2"}]))


def test_members_that_overlap(tmp_path, zips):
    """The trick of bombs that reuse one kernel of packed bytes."""
    first = zips[1]([{"name": "a", "data": b"xyz"}])[: 30 + 1 + 3]
    shared = zips[1](
        [
            {"name": "outer", "data": first},
            {"name": "a", "data": b"", "begin": 35, "size": 3, "packed": 3, "crc": zlib.crc32(b"xyz")},
        ]
    )
    with pytest.raises(WeightsError, match="inside another member"):
        unpack(tmp_path / "z", shared)


@pytest.mark.parametrize("count", [0, 2, 60000])
def test_a_wrong_number_of_members(tmp_path, zips, count):
    content = bytearray(zips[0]([("a", b"1")]))
    content[-14:-10] = count.to_bytes(2, "little") * 2
    with pytest.raises(WeightsError, match="zip archive"):
        unpack(tmp_path / "z", bytes(content))


def test_split_archives(tmp_path, zips):
    content = bytearray(zips[0]([("a", b"1")]))
    content[-18:-16] = b"\x01\x00"
    with pytest.raises(WeightsError, match="split"):
        unpack(tmp_path / "z", bytes(content))


def test_bytes_before_the_archive(tmp_path, zips):
    with pytest.raises(WeightsError, match="directory"):
        unpack(tmp_path / "z", b"#!/bin/sh\n" + zips[0]([("a", b"1")]))


def test_no_end_record(tmp_path, zips):
    with pytest.raises(WeightsError, match="cut short"):
        unpack(tmp_path / "z", zips[0]([("a", b"1")])[:-1])

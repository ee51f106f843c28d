"""``.npz``: members, names and what must be refused."""

import io
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from volconv.errors import WeightsError
from volconv.weights.store import open_weights


def npy(array):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), allow_pickle=True)
    return out.getvalue()


def test_slashes_become_dots(tmp_path, zips):
    path = tmp_path / "a"
    path.write_bytes(zips[0]([("enc/0/weight.npy", npy([1.0, 2.0]))]))
    with open_weights(path) as store:
        assert store["enc.0.weight"].tolist() == [1, 2]


def test_an_archive_without_members(tmp_path, zips):
    path = tmp_path / "a"
    path.write_bytes(zips[0]([]))
    with open_weights(path) as store, pytest.raises(WeightsError, match="no tensors"):
        store["x"]


def test_a_member_longer_than_a_block(tmp_path):
    wanted = np.random.default_rng(0).normal(size=(70, 1000))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", w=wanted, f=np.asfortranarray(wanted))
        with open_weights(tmp_path / "a.npz") as store:
            np.testing.assert_array_equal(store["w"], wanted)
            np.testing.assert_array_equal(store["f"], wanted)


def test_honest_zeros_that_compress_a_thousandfold(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", w=np.zeros(10**6))
    with open_weights(tmp_path / "a.npz") as store:
        assert not store["w"].any()


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([("a.npy", npy([1.0])), ("notes.txt", b"hello")], "no array"),
        ([("a/b.npy", npy([1.0])), ("a.b.npy", npy([1.0]))], "two tensors"),
        ([("a.npy", npy(np.array([{}], dtype=object)))], "pickled objects are never loaded"),
        ([("a.npy", npy(np.array(["x"])))], "type str"),
        ([("a.npy", npy([1j]))], "type complex"),
        ([("a.npy", npy([1.0])[:-1])], "bytes of numbers"),
        ([("a.npy", npy([1.0]) + b"1")], "bytes of numbers"),
        ([("a.npy", b"")], "magic"),
        ([("a.npy", b"not an array at all")], "magic"),
        ([("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff")], "bytes of header"),
    ],
)
def test_members_that_are_no_plain_arrays(refused, zips, members, match):
    refused(zips[0](members), match)


def deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def test_a_lying_size_does_not_allocate(refused, zips):
    """Sixty kilobytes of real numbers behind a header and a directory that claim as much as deflate could hold."""
    noise = np.random.default_rng(0).bytes(60_000)
    claimed = 40_000_000
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({claimed},), }}".encode()
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    packed = deflate(head + noise)
    member = {"name": "a.npy", "data": packed, "method": 8, "size": len(head) + claimed, "crc": 0}
    refused(zips[1]([member]), "another size")


def test_a_bomb_is_not_unpacked_when_opened(tmp_path):
    """A hundred megabytes of zeros in a hundred kilobytes: shape and type cost nothing."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as out:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000,), }"
        out.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        for _ in range(100):
            out.write(bytes(10**6))
    tracemalloc.start()
    with open_weights(path) as store:
        assert store.info("a").nbytes == 10**8
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000

"""Reading HDF5 datasets in windows: exact values, bounded memory, and one clear error for every fault."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import FormatError, MissingFileError, RunError, VolconvError
from volconv.formats.hdf5_source import Hdf5Source
from volconv.region import Region
from volconv.testing.source_contract import SourceContract

DATA = os.environ.get("VOLCONV_TEST_DATA")
NUMBERS = ("<u1", "<i2", ">i2", "<u4", ">i8", "<u8", "<f2", ">f4", "<f8", ">f8", "bool")


class TestContiguous(SourceContract):
    options: Mapping[str, Any] = {}

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> Hdf5Source:
        czyx = values if order == "kji" else values.transpose(0, 3, 2, 1)
        return Hdf5Source(write(folder / "a.h5", czyx, **self.options), order=order)


class TestChunked(TestContiguous):
    options: Mapping[str, Any] = {"chunks": (1, 3, 4, 5), "compression": "gzip", "fletcher32": True}


class TestOneChunk(TestContiguous):
    options: Mapping[str, Any] = {"chunks": True, "compression": "lzf", "shuffle": True}


def write(path: Path, values: Any, name: str = "raw", **options: Any) -> Path:
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=values, **options)
    return path


def read(source: Hdf5Source, region: Region, kind: Any = np.float32) -> np.ndarray:
    out = np.full((source.info.channels, *region.shape), 77, kind)
    source.read(region, out)
    return out


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(
    "options", [{}, {"chunks": (3, 4, 5)}, {"chunks": (3, 4, 5), "compression": "gzip", "shuffle": True}]
)
def test_values_are_those_h5py_reads(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 2 if kind == "bool" else 250, (7, 9, 11)).astype(kind)
    source = Hdf5Source(write(tmp_path / "a.h5", values, **options))
    source.load(None)
    region = Region((1, 2, 3), (6, 8, 11))
    part = values[1:6, 2:8, 3:11]
    assert source.info.dtype.isnative
    for out in (np.float32, np.float64, source.info.dtype):
        found = read(source, region, out)
        np.testing.assert_array_equal(found[0], part.astype(np.float64).astype(out))
    assert source.warnings == []
    source.close()
    source.close()


def test_stored_values_are_copied_bit_for_bit_and_others_are_rounded_once(tmp_path: Path) -> None:
    big = np.array([2**53 + 1, -(2**62) - 3, 2**62 + 2**38 + 1, 5], np.int64).reshape(1, 2, 2)
    source = Hdf5Source(write(tmp_path / "a.h5", big))
    whole = Region.whole((1, 2, 2))
    np.testing.assert_array_equal(read(source, whole, np.int64)[0], big)
    assert source.warnings == []
    np.testing.assert_array_equal(read(source, whole, np.float32)[0], big.astype(np.float64).astype(np.float32))
    assert source.warnings == ["some integers are beyond 2^53 and were rounded on the way to floats"]
    odd = np.array([0x7FF80000DEADBEEF, 0x0000000000000001, 0x8000000000000000, 0x7FF0000000000000], np.uint64)
    doubles = odd.view(np.float64).reshape(1, 2, 2)
    source = Hdf5Source(write(tmp_path / "b.h5", doubles))
    np.testing.assert_array_equal(read(source, whole, np.float64).view(np.uint64).ravel(), odd)
    too_large = Hdf5Source(write(tmp_path / "c.h5", np.full((1, 2, 2), 1e300)))
    assert np.isinf(read(too_large, whole)).all()
    assert np.isinf(read(too_large, whole)).all()
    assert too_large.warnings == ["some values are beyond the type they are read as and became infinite"]


@given(data=st.data(), chunked=st.booleans(), batched=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_window_equals_slicing(data: st.DataObject, chunked: bool, batched: bool, tmp_path_factory: Any) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    values = np.arange(2 * 3 * np.prod(shape), dtype=np.int32).reshape(2, 3, *shape)
    chunks = data.draw(st.tuples(*[st.integers(1, n) for n in values.shape])) if chunked else None
    path = tmp_path_factory.mktemp("w") / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=values, chunks=chunks).attrs["axes"] = "tczyx" if batched else "ctzyx"
    source = Hdf5Source(path, channels=1)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    region = Region(start, stop)
    batch = data.draw(st.integers(0, source.info.batch - 1))
    out = np.zeros((source.info.channels, *region.shape), np.float64)
    source.read(region, out, batch)
    expected = values[batch] if batched else values[:, batch]
    np.testing.assert_array_equal(out, expected[(slice(None), *region.slices())])
    source.close()


def test_the_only_volume_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.zeros((2, 3, 4), "i2"), "deep/er/scan")
    for name, value in (("flat", np.zeros((3, 3))), ("text", "words"), ("none", np.zeros((0, 3, 3)))):
        write(path, value, name)
    assert Hdf5Source(path).info.meta["hdf5"]["dataset"] == "/deep/er/scan"
    assert Hdf5Source(path, "/deep/er/scan").info.shape == (2, 3, 4)
    write(path, np.zeros((4, 5, 6), "f4"), "other")
    with pytest.raises(
        FormatError, match=r"holds 2 volumes.*/other \(4, 5, 6\) float32.*/deep/er/scan \(2, 3, 4\) int16"
    ):
        Hdf5Source(path)


def test_no_volume_lists_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.zeros((3, 3)), "flat")
    for index in range(20):
        write(path, index, f"n{index:02}")
    with pytest.raises(FormatError, match=r"no dataset of numbers.*/flat \(3, 3\) float64.*and 9 more"):
        Hdf5Source(path)
    h5py.File(tmp_path / "b.h5", "w").close()
    with pytest.raises(FormatError, match="holds no dataset of numbers"):
        Hdf5Source(tmp_path / "b.h5")


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("text", {}),
        (np.zeros((2, 2, 2), "S5"), {}),
        (np.zeros((2, 2, 2), [("a", "i4"), ("b", "f4")]), {}),
        (None, {"shape": (2, 2, 2), "dtype": h5py.vlen_dtype("i4")}),
        (None, {"shape": (2, 2, 2), "dtype": h5py.ref_dtype}),
        (np.zeros((2, 2, 2), complex), {}),
        (np.zeros((2, 2, 2), np.longdouble), {}),
        (np.zeros((2, 2, 2), "V7"), {}),
        (h5py.Empty("f4"), {}),
        (3.0, {}),
        (np.zeros((0, 2, 2)), {}),
        (np.zeros(7), {}),
        (np.zeros((2,) * 6), {}),
        (None, {"shape": (2, 2, 2), "dtype": h5py.enum_dtype({"A": 1, "B": 2}, basetype="i4")}),
    ],
)
def test_what_is_no_volume_of_numbers(tmp_path: Path, value: Any, options: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=value, **options)
        kind = file["d"].dtype
    if h5py.check_enum_dtype(kind):
        assert Hdf5Source(tmp_path / "a.h5", "/d").info.dtype == np.int32
        return
    with pytest.raises(FormatError, match=r"/d: has (type|shape)") as caught:
        Hdf5Source(tmp_path / "a.h5", "/d")
    assert "\n" not in str(caught.value)


def test_groups_and_missing_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.zeros((2, 3, 4)), "g/d")
    with pytest.raises(FormatError, match=r"is a group, expected a dataset.*/g/d"):
        Hdf5Source(path, "/g")
    with pytest.raises(FormatError, match=r"no 'e' on the way to '/g/e' in this file; datasets here: /g/d \(2, 3, 4\)"):
        Hdf5Source(path, "/g/e")
    with pytest.raises(FormatError, match="there is no 'below'"):
        Hdf5Source(path, "/g/d/below")
    with pytest.raises(MissingFileError):
        Hdf5Source(tmp_path / "none.h5")
    with pytest.raises(MissingFileError, match="folder"):
        Hdf5Source(tmp_path)
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(MissingFileError, match="pipe"):
        Hdf5Source(tmp_path / "pipe.h5")


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((2, 3, 4))
        h5py.h5d.create(file.id, b"caf\xe9", h5py.h5t.NATIVE_INT32, space)
    source = Hdf5Source(tmp_path / "a.h5")
    assert source.info.shape == (2, 3, 4)
    assert Hdf5Source(tmp_path / "a.h5", source.info.meta["hdf5"]["dataset"]).info.shape == (2, 3, 4)
    source.load(None)
    assert source.warnings[0].isprintable()


def test_absent_chunks_are_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunked = file.create_dataset("c", (8, 8, 8), "f4", chunks=(4, 4, 4), fillvalue=-1)
        chunked[:4, :4, :4] = 1
        file.create_dataset("n", (8, 8, 8), "f4")
    source = Hdf5Source(tmp_path / "a.h5", "/c")
    source.load(None)
    assert source.warnings == ["7 of 8 chunks of /c were never written and read as -1.0"]
    assert read(source, Region((3, 3, 3), (5, 5, 5))).ravel().tolist() == [1] + [-1] * 7
    never = Hdf5Source(tmp_path / "a.h5", "/n")
    never.load(None)
    assert never.warnings == ["/n was never written and reads as 0.0"]


def test_a_petabyte_without_chunks_opens(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", (100_000, 100_000, 100_000), "u1", chunks=(64, 64, 64))
    source = Hdf5Source(tmp_path / "a.h5")
    source.load(None)
    assert source.info.voxels == 10**15
    assert source.window_bytes((64, 64, 64)) < 40 << 20
    assert not read(source, Region((99_990, 99_990, 99_990), (100_000, 100_000, 100_000))).any()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (64, 64, 64), "compression": "lzf"},
        {"chunks": (60, 240, 100), "compression": "lzf"},
        {"chunks": (4, 4, 100)},
        {"chunks": (120, 240, 100)},
    ],
)
def test_memory_stays_within_what_window_bytes_says(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(tmp_path / "a.h5", np.random.default_rng(0).integers(0, 99, (240, 240, 100)), **options)
    program = """
import resource, sys
import numpy as np
from pathlib import Path
from volconv.formats.hdf5_source import Hdf5Source
from volconv.region import Region
source = Hdf5Source(Path(sys.argv[1]))
source.load(None)
shape = source.info.shape
warm = np.ones((1, 1, 2, 2), np.float32)
source.read(Region((0, 0, 0), (1, 2, 2)), warm)
out = np.ones((1, 230, 230, 90), np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source.read(Region((5, 5, 5), (235, 235, 95)), out)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, source.window_bytes((230, 230, 90)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, cwd=root, timeout=60
    )
    used, predicted = (int(word) for word in done.stdout.split())
    assert used <= predicted + (2 << 20)


def test_digest_and_change(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.zeros((2, 3, 4)))
    source = Hdf5Source(path)
    assert source.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    source.check_unchanged()
    os.utime(path, (1, 1))
    with pytest.raises(RunError, match="changed"):
        source.check_unchanged()
    path.unlink()
    with pytest.raises(RunError, match="gone"):
        source.check_unchanged()


def test_a_file_this_process_has_open_is_read_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.ones((2, 3, 4)))
    with h5py.File(path) as theirs:
        source = Hdf5Source(path)
        assert read(source, Region.whole((2, 3, 4))).all()
        source.close()
        assert theirs["raw"][0, 0, 0] == 1


def test_a_broken_chunk_is_named(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (8, 8, 8)).astype("u1")
    path = write(tmp_path / "a.h5", values, chunks=(4, 4, 4), fletcher32=True)
    with h5py.File(path) as file:
        place = file["raw"].id.get_chunk_info_by_coord((4, 4, 0)).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 7] ^= 1
    path.write_bytes(content)
    source = Hdf5Source(path)
    np.testing.assert_array_equal(read(source, Region((0, 0, 0), (4, 8, 8)))[0], values[:4])
    with pytest.raises(FormatError, match=r"/raw\[4:8, 4:8, 0:4\]: .*fails its checksum") as caught:
        read(source, Region((2, 0, 0), (8, 8, 8)))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("options", [{}, {"chunks": (4, 4, 4), "compression": "gzip"}])
def test_mutated_and_truncated_files_raise_nothing_but_format_errors(
    tmp_path: Path, libver: str, options: dict[str, Any]
) -> None:
    values = np.random.default_rng(0).integers(0, 255, (8, 8, 8)).astype("i2")
    with h5py.File(tmp_path / "good.h5", "w", libver=libver) as file:
        file.create_dataset("raw", data=values, **options).attrs["axes"] = "zyx"
        file["raw"].attrs["affine"] = np.eye(4)
    content = (tmp_path / "good.h5").read_bytes()
    path, rng, refused = tmp_path / "bad.h5", np.random.default_rng(5), 0
    for attempt in range(120):
        bad = bytearray(content)
        if attempt % 4 == 0:
            bad = bad[: int(rng.integers(0, len(bad)))]
        else:
            # Most of a small file is metadata; its first half is worth more attention.
            for place in rng.integers(0, len(bad) // (1 + attempt % 2), int(rng.integers(1, 6))):
                bad[place] = int(rng.integers(0, 256))
        path.write_bytes(bad)
        refused += not _survives(path)
    assert refused > 20


def _survives(path: Path) -> bool:
    """Return whether the file can be read; any other error than one line about the content fails the test."""
    faults: list[VolconvError] = []
    try:
        source = Hdf5Source(path, channels=None)
        try:
            source.load(None)
            if source.info.voxels * source.info.channels < 1 << 20:
                read(source, Region.whole(source.info.shape))
        finally:
            source.close()
    except VolconvError as error:
        faults.append(error)
    assert all(fault.exit_code == 3 and "\n" not in str(fault) for fault in faults)
    return not faults


@pytest.mark.skipif(DATA is None, reason="VOLCONV_TEST_DATA is not set")
def test_channels_last_from_ilastik() -> None:
    path = Path(str(DATA)) / "volumes" / "hdf5" / "ilastik_3d2c.h5"
    with h5py.File(path, locking=False) as file:
        values = file["data"][()]
    source = Hdf5Source(path, axes="zyxc")
    source.load(None)
    assert (source.info.channels, source.info.shape) == (2, (50, 60, 55))
    np.testing.assert_array_equal(read(source, Region.whole((50, 60, 55))), values.transpose(3, 0, 1, 2))
    # Without a word on axes, four dimensions are czyx: read so, but never with the wrong number of voxels.
    assert Hdf5Source(path).info.shape == (60, 55, 2)

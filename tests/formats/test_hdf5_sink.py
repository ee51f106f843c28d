"""Writing HDF5 outputs: h5py reads what was written, the bytes depend on content alone, and nothing half-made stays."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import OutputError, RunError, UsageError, VolconvError
from volconv.formats.hdf5_record import read_hdf5_record
from volconv.formats.hdf5_sink import Hdf5Sink, open_hdf5_sinks
from volconv.formats.hdf5_source import Hdf5Source
from volconv.geometry import Geometry, Triple, VoxelMap
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract
from volconv.volume import OutputInfo, VolumeInfo

ROOT = Path(__file__).parents[2]
AFFINE_DHW = np.array([[0.1, 0, -1, 5], [0.2, 2, 0, 6], [3, 0.3, 0, 7], [0, 0, 0, 1.0]])


class TestHdf5Sink(SinkContract):
    def make_sink(self, folder: Path, info: OutputInfo, force: bool = False) -> Hdf5Sink:
        return Hdf5Sink(folder / "o.h5", None, info, force=force)

    def outputs(self, folder: Path) -> list[Path]:
        return [folder / "o.h5"]

    def read_back(self, folder: Path, sink: Any) -> np.ndarray:
        with h5py.File(folder / "o.h5") as file:
            values = file["data"][()]
        values = values.reshape(sink.info.channels, *values.shape[-3:])
        return values if sink.info.origin.axes == "kji" else values.transpose(0, 3, 2, 1)


def make_info(
    shape: Triple = (6, 7, 8), channels: int = 1, kind: Any = np.float32, order: str = "kji", **more: Any
) -> OutputInfo:
    origin = VolumeInfo(shape, 1, np.dtype(np.int16), Geometry(AFFINE_DHW, shape), axes=order)
    return OutputInfo(shape, channels, np.dtype(kind), origin, **more)


def put(sink: Hdf5Sink, values: np.ndarray, tile: Triple | None = None, seed: int | None = None) -> None:
    """Write `values` (C, D, H, W) in tiles, in random order where `seed` is given, and finish."""
    sink.create()
    parts = list(Region.whole(values.shape[1:]).split(tile or values.shape[1:]))
    if seed is not None:
        np.random.default_rng(seed).shuffle(parts)  # type: ignore[arg-type]
    for part in parts:
        sink.write(part, values[(slice(None), *part.slices())])
    sink.finish()


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def left_overs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["kji", "ijk"])
def test_h5py_reads_what_was_written(tmp_path: Path, kind: str, channels: int, order: str) -> None:
    values = np.random.default_rng(0).integers(0, 120, (channels, 6, 7, 8)).astype(kind)
    put(Hdf5Sink(tmp_path / "o.h5", None, make_info((6, 7, 8), channels, kind, order, record='{"a": "ü"}')), values)
    zyx = values if order == "kji" else values.transpose(0, 3, 2, 1)
    with h5py.File(tmp_path / "o.h5") as file:
        dataset = file["data"]
        np.testing.assert_array_equal(dataset[()], zyx if channels > 1 else zyx[0])
        assert dataset.dtype == np.dtype(kind)
        assert dataset.fletcher32
        assert dataset.compression is None
        assert dataset.attrs["axes"] == (b"czyx" if channels > 1 else b"zyx")
        columns = [2, 1, 0, 3] if order == "kji" else [0, 1, 2, 3]
        np.testing.assert_array_equal(dataset.attrs["affine"], AFFINE_DHW[:, columns])
        assert file.attrs["volconv"].decode() == '{"a": "ü"}'
        assert set(file) == {"data"}
    source = Hdf5Source(tmp_path / "o.h5", order=order)
    out = np.empty((channels, 6, 7, 8), kind)
    source.read(Region.whole((6, 7, 8)), out)
    np.testing.assert_array_equal(out, values)
    np.testing.assert_array_equal(source.info.geometry.affine, AFFINE_DHW)
    assert source.warnings == []
    assert read_hdf5_record(tmp_path / "o.h5") == '{"a": "ü"}'


def test_bytes_are_the_same_for_every_tile_order_and_time(tmp_path: Path) -> None:
    shape = (70, 65, 130)
    values = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    info = make_info(shape, 2, record=json.dumps({"long": "x" * 5000}))
    found = set()
    tiles: list[Triple | None] = [None, (16, 16, 16), (33, 7, 64), (1, 65, 130), (35, 33, 44), (70, 65, 1)]
    for seed, tile in enumerate(tiles):
        path = tmp_path / f"{seed}.h5"
        put(Hdf5Sink(path, None, info), values, tile, seed)
        found.add(file_digest(path))
    time.sleep(1.1)  # HDF5's time stamps, were there any, are in seconds
    put(Hdf5Sink(tmp_path / "0.h5", None, info, force=True), values)
    found.add(file_digest(tmp_path / "0.h5"))
    assert len(found) == 1
    with h5py.File(tmp_path / "0.h5") as file:
        np.testing.assert_array_equal(file["data"][()], values)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_shape_and_tile(data: st.DataObject, tmp_path_factory: Any) -> None:
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 90), st.integers(1, 150)))
    tile = data.draw(st.tuples(*[st.integers(1 + n // 3, n) for n in shape]))
    order = data.draw(st.sampled_from(["kji", "ijk"]))
    folder = tmp_path_factory.mktemp("s")
    values = np.random.default_rng(0).integers(0, 255, (2, *shape)).astype(np.uint8)
    put(Hdf5Sink(folder / "a.h5", "/g/x", make_info(shape, 2, "u1", order)), values, tile, 0)
    put(Hdf5Sink(folder / "b.h5", "/g/x", make_info(shape, 2, "u1", order)), values)
    assert file_digest(folder / "a.h5") == file_digest(folder / "b.h5")
    with h5py.File(folder / "a.h5") as file:
        np.testing.assert_array_equal(file["g/x"][()], values if order == "kji" else values.transpose(0, 3, 2, 1))


def test_several_outputs_in_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    infos = {
        "/edges": make_info((6, 7, 8), 3, record="{}"),
        "/deep/labels": make_info((3, 4, 4), 1, "u1", record="{}", voxel_map=VoxelMap((2.0, 2, 2), (0.5, 0.5, 0.5))),
    }
    values = {name: rng.integers(0, 9, (i.channels, *i.shape)).astype(i.dtype) for name, i in infos.items()}
    sinks = open_hdf5_sinks(tmp_path / "o.h5", infos)
    for sink in sinks.values():
        sink.create()
    for name, sink in sinks.items():
        sink.write(Region.whole(infos[name].shape), values[name])
        assert not (tmp_path / "o.h5").exists()
        sink.finish()
    with h5py.File(tmp_path / "o.h5") as file:
        np.testing.assert_array_equal(file["edges"][()], values["/edges"])
        np.testing.assert_array_equal(file["deep/labels"][()], values["/deep/labels"][0])
        spacing = np.sqrt((file["deep/labels"].attrs["affine"][:3, :3] ** 2).sum(0))
        np.testing.assert_allclose(spacing, 2 * np.sqrt((file["edges"].attrs["affine"][:3, :3] ** 2).sum(0)))
    first = file_digest(tmp_path / "o.h5")
    sinks = open_hdf5_sinks(tmp_path / "o.h5", infos, force=True)
    for name, sink in reversed(sinks.items()):
        sink.create()
        sink.write(Region.whole(infos[name].shape), values[name])
        sink.finish()
    assert file_digest(tmp_path / "o.h5") == first
    assert left_overs(tmp_path) == ["o.h5"]


def test_an_aborted_member_takes_the_file_along(tmp_path: Path) -> None:
    sinks = open_hdf5_sinks(tmp_path / "o.h5", {"/a": make_info(), "/b": make_info()})
    for sink in sinks.values():
        sink.create()
    sinks["/a"].write(Region.whole((6, 7, 8)), np.ones((1, 6, 7, 8), np.float32))
    sinks["/a"].finish()
    sinks["/b"].abort()
    sinks["/b"].abort()
    sinks["/a"].abort()
    assert left_overs(tmp_path) == []
    with pytest.raises(RunError):
        sinks["/b"].write(Region.whole((6, 7, 8)), np.ones((1, 6, 7, 8), np.float32))


@pytest.mark.parametrize("names", [["/a", "a"], ["/a", "/a/b"], ["/a/b", "/a"]])
def test_names_that_collide(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UsageError, match="would also have to be"):
        open_hdf5_sinks(tmp_path / "o.h5", {name: make_info() for name in names})
    with pytest.raises(UsageError, match="records"):
        open_hdf5_sinks(tmp_path / "o.h5", {"/a": make_info(record="1"), "/b": make_info(record="2")})


def test_rounding_is_counted(tmp_path: Path) -> None:
    sink = Hdf5Sink(tmp_path / "o.h5", None, make_info((1, 2, 4), 1, np.uint8))
    put(sink, np.array([0.5, 1.5, 255.4, 255.6, -1, np.nan, np.inf, 7], np.float32).reshape(1, 1, 2, 4), (1, 1, 4))
    assert sink.clipped == 4
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["data"][()].ravel().tolist() == [0, 2, 255, 255, 0, 0, 255, 7]


def test_what_hdf5_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "o.h5"
    with pytest.raises(UsageError, match="batch of 3") as caught:
        Hdf5Sink(path, None, replace(make_info(), batch=3))
    assert caught.value.exit_code == 2
    for kind in (bool, complex, np.longdouble, "V4"):
        with pytest.raises(UsageError, match="cannot hold type"):
            Hdf5Sink(path, None, make_info(kind=kind))
    for name in ("/a/../b", "/a//b", "/.", "a\0b"):
        with pytest.raises(UsageError, match="no name for a dataset"):
            Hdf5Sink(path, name, make_info())
    assert left_overs(tmp_path) == []


def test_existing_outputs(tmp_path: Path) -> None:
    path = tmp_path / "o.h5"
    with h5py.File(path, "w") as file:
        file["mine"] = 1
    with pytest.raises(OutputError, match="exists"):
        Hdf5Sink(path, "/other", make_info())
    sink = Hdf5Sink(path, "/other", make_info(), force=True)
    sink.create()
    with h5py.File(path) as file:
        assert "mine" in file
    sink.abort()
    with h5py.File(path) as file:
        assert "mine" in file
    put(Hdf5Sink(path, "/other", make_info(), force=True), np.ones((1, 6, 7, 8), np.float32))
    with h5py.File(path) as file:
        assert set(file) == {"other"}
    with pytest.raises(OutputError):
        Hdf5Sink(tmp_path / "none" / "o.h5", None, make_info())
    assert left_overs(tmp_path) == ["o.h5"]


def test_a_name_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    sink = Hdf5Sink(tmp_path / "o.h5", None, make_info())
    sink.create()
    sink.write(Region.whole((6, 7, 8)), np.ones((1, 6, 7, 8), np.float32))
    (tmp_path / "o.h5").write_text("theirs")
    with pytest.raises(OutputError, match="exists now"):
        sink.finish()
    sink.abort()
    assert (tmp_path / "o.h5").read_text() == "theirs"
    assert left_overs(tmp_path) == ["o.h5"]


def test_a_long_record_and_no_affine(tmp_path: Path) -> None:
    record = json.dumps({"text": "ä" * 200_000}, ensure_ascii=False)
    origin = VolumeInfo((2, 3, 4), 1, np.dtype(np.int16), Geometry(None, (2, 3, 4)))
    info = OutputInfo((2, 3, 4), 1, np.dtype(np.float32), origin, record=record)
    put(Hdf5Sink(tmp_path / "o.h5", None, info), np.ones((1, 2, 3, 4), np.float32))
    assert read_hdf5_record(tmp_path / "o.h5") == record
    assert Hdf5Source(tmp_path / "o.h5").info.geometry.affine is None
    put(Hdf5Sink(tmp_path / "p.h5", None, replace(info, record="")), np.ones((1, 2, 3, 4), np.float32))
    assert read_hdf5_record(tmp_path / "p.h5") is None


def test_size_and_scratch_are_foretold(tmp_path: Path) -> None:
    for shape, channels in (((65, 65, 65), 2), ((3, 3, 3), 1), ((1, 700, 700), 1)):
        info = make_info(shape, channels, np.float64)
        sink = Hdf5Sink(tmp_path / "o.h5", None, info, force=True)
        put(sink, np.ones((channels, *shape)))
        assert (tmp_path / "o.h5").stat().st_size <= info.nbytes + sink.scratch_bytes


def test_superblock_and_layout_are_those_hdf5_1_10_knows(tmp_path: Path) -> None:
    put(Hdf5Sink(tmp_path / "o.h5", None, make_info()), np.ones((1, 6, 7, 8), np.float32))
    content = (tmp_path / "o.h5").read_bytes()
    assert content[:8] == b"\x89HDF\r\n\x1a\n"
    assert content[8] == 3
    with h5py.File(tmp_path / "o.h5") as file:
        version = h5py.h5o.get_info(file["data"].id).hdr.version
    assert version == 2


@pytest.mark.parametrize("kind", ["u1", "f4"])
def test_mutated_outputs_are_never_read_wrong(tmp_path: Path, kind: str) -> None:
    shape = (9, 10, 11)
    values = np.random.default_rng(0).integers(1, 200, (2, *shape)).astype(kind)
    put(Hdf5Sink(tmp_path / "good.h5", None, make_info(shape, 2, kind, record="{}")), values)
    content = (tmp_path / "good.h5").read_bytes()
    path, rng, refused = tmp_path / "bad.h5", np.random.default_rng(8), 0
    for attempt in range(400):
        bad = bytearray(content)
        if attempt % 8 == 0:
            bad = bad[: int(rng.integers(0, len(bad)))]
        else:
            end = 2048 if attempt % 2 else len(bad)
            for place in rng.integers(0, end, int(rng.integers(1, 4))):
                bad[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bad)
        found = _read_or_none(path, shape)
        refused += found is None
        if found is not None:
            np.testing.assert_array_equal(found[0], values)
            np.testing.assert_array_equal(found[1], AFFINE_DHW)
    assert refused > 200


def _read_or_none(path: Path, shape: Triple) -> tuple[np.ndarray, Any] | None:
    try:
        source = Hdf5Source(path)
    except VolconvError:
        return None
    try:
        source.load(None)
        assert source.info.shape == shape
        out = np.zeros((source.info.channels, *shape))
        source.read(Region.whole(shape), out)
    except VolconvError:
        return None
    finally:
        source.close()
    return out, source.info.geometry.affine


LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from volconv.errors import VolconvError
from volconv.formats import atomic
from volconv.formats import hdf5_sink
from volconv.formats.hdf5_sink import Hdf5Sink
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.volume import OutputInfo, VolumeInfo
limit, reserves = int(sys.argv[2]), sys.argv[3] == "reserve"
if not reserves:
    atomic.reserve = hdf5_sink.reserve = lambda *arguments: None
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
shape = (64, 64, 64)
origin = VolumeInfo(shape, 1, np.dtype("i2"), Geometry(None, shape))
sink = Hdf5Sink(Path(sys.argv[1]), None, OutputInfo(shape, 4, np.dtype("f4"), origin, record="{}"))
if reserves:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    sink.create()
    for part in Region.whole(shape).split((16, 64, 64)):
        sink.write(part, np.ones((4, *part.shape), np.float32))
    sink.finish()
except VolconvError as error:
    sink.abort()
    print(error.exit_code, error)
"""


@pytest.mark.parametrize("limit", [0, 64, 512, 1024, 2048, 100_000, 1 << 20, (4 << 20) + 512])
@pytest.mark.parametrize("reserves", ["reserve", "late"])
def test_a_full_disk_is_one_error_and_no_crash(tmp_path: Path, limit: int, reserves: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "o.h5"), str(limit), reserves],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    code, _, message = done.stdout.partition(" ")
    assert code == "1"
    assert "File too large" in message
    assert left_overs(tmp_path) == []


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from volconv.formats import hdf5_sink
from volconv.formats.hdf5_sink import Hdf5Sink
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.volume import OutputInfo, VolumeInfo
left = int(sys.argv[2])
def count(function):
    def counted(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return counted
shape = (20, 30, 40)
origin = VolumeInfo(shape, 1, np.dtype("i2"), Geometry(None, shape))
sink = Hdf5Sink(Path(sys.argv[1]), None, OutputInfo(shape, 1, np.dtype("f4"), origin, record="{}"), force=True)
for name in ("open", "pwrite", "ftruncate", "fsync", "link", "unlink", "fchmod"):
    setattr(os, name, count(getattr(os, name)))
sink.create()
for part in Region.whole(shape).split((10, 30, 40)):
    sink.write(part, np.ones((1, *part.shape), np.float32))
sink.finish()
"""


def test_killed_at_any_moment_the_output_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "o.h5"
    shape = (20, 30, 40)
    info = OutputInfo(
        shape, 1, np.dtype("f4"), VolumeInfo(shape, 1, np.dtype("i2"), Geometry(None, shape)), record="{}"
    )
    put(Hdf5Sink(path, None, info), np.ones((1, 20, 30, 40), np.float32))
    whole = path.read_bytes()
    outcomes = set()
    for left in (0, 1, 2, 4, 6, 8, 9, 10, 11, 12, 13, 40):
        path.write_bytes(b"old")
        done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(left)], cwd=ROOT, timeout=60)
        outcomes.add((done.returncode, path.read_bytes() == b"old"))
        assert path.read_bytes() in (b"old", whole)
    assert (-signal.SIGKILL, True) in outcomes
    assert (0, False) in outcomes
    put(Hdf5Sink(path, None, info, force=True), np.ones((1, 20, 30, 40), np.float32))
    assert path.read_bytes() == whole
    assert left_overs(tmp_path) == ["o.h5"]

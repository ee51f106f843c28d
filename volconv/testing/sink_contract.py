"""What every volume sink must do; a test class of a format inherits `SinkContract` and says how to make one."""

from __future__ import annotations

import os
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..errors import OutputError
from ..formats.atomic import make_part
from ..formats.base import Sink
from ..formats.commit import publish
from ..geometry import Geometry
from ..region import Region
from ..volume import OutputInfo, VolumeInfo

_SLACK_BYTES = 1 << 18


class SinkContract:
    """Inherit as ``class TestMySink(SinkContract)`` and implement the first three methods."""

    has_files = True
    """Whether the sink puts anything on disk."""

    def make_sink(self, folder: Path, info: OutputInfo, force: bool = False) -> Sink:
        """Return a sink for `info`, its output in `folder`, always under the same name."""
        raise NotImplementedError

    def outputs(self, folder: Path) -> list[Path]:
        """Return the final names in `folder` that such a sink writes."""
        raise NotImplementedError

    def read_back(self, folder: Path, sink: Sink) -> NDArray[Any]:
        """Return the finished output as (C, D, H, W) of the stored type, read by another library."""
        raise NotImplementedError

    @staticmethod
    def info(
        shape: tuple[int, int, int] = (7, 11, 13), channels: int = 1, dtype: str = "float32", order: str = "kji"
    ) -> OutputInfo:
        """Return what an output computed from a volume of the same grid is to hold."""
        geometry = Geometry(np.diag([3.0, 2.0, 1.5, 1.0]), shape)
        origin = VolumeInfo(shape, 1, np.dtype("int16"), geometry, axes=order)
        return OutputInfo(shape, channels, np.dtype(dtype), origin, record='{"volconv": 1}')

    @staticmethod
    def values(info: OutputInfo) -> NDArray[Any]:
        """Return values of which no two are alike."""
        shape = (info.channels, *info.shape)
        return np.random.default_rng(7).permutation(int(np.prod(shape))).reshape(shape).astype(np.float32)

    def written(self, folder: Path, info: OutputInfo, values: NDArray[Any], force: bool = False) -> Sink:
        """Return a finished sink that got `values` in one window."""
        sink = self.make_sink(folder, info, force)
        sink.create()
        sink.write(Region.whole(info.shape), values)
        sink.finish()
        return sink

    @pytest.mark.parametrize("order", ["kji", "ijk"])
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("window", [(7, 11, 13), (2, 11, 13), (7, 4, 13), (3, 4, 5), (7, 11, 2)])
    def test_windows_in_any_order(
        self, tmp_path: Path, order: str, channels: int, window: tuple[int, int, int]
    ) -> None:
        info = self.info(channels=channels, order=order)
        values = self.values(info)
        sink = self.make_sink(tmp_path, info)
        sink.create()
        regions = list(Region.whole(info.shape).split(window))
        np.random.default_rng(3).shuffle(regions)
        for region in regions:
            sink.write(region, values[:, *region.slices()])
        sink.finish()
        np.testing.assert_array_equal(self.read_back(tmp_path, sink), values)
        assert sink.clipped == 0

    def test_nothing_shows_before_the_end(self, tmp_path: Path) -> None:
        info = self.info()
        sink = self.make_sink(tmp_path, info)
        assert not self.found(tmp_path)
        sink.create()
        assert not self.shown(tmp_path)
        sink.write(Region.whole(info.shape), self.values(info))
        assert not self.shown(tmp_path)
        sink.finish()
        if self.has_files:
            assert self.found(tmp_path) == sorted(self.outputs(tmp_path))

    def test_a_complete_output_appears_with_others(self, tmp_path: Path) -> None:
        if not self.has_files:
            pytest.skip("nothing on disk")
        info = self.info()
        sink = self.make_sink(tmp_path, info)
        sink.create()
        sink.write(Region.whole(info.shape), self.values(info))
        sink.complete()
        assert not self.shown(tmp_path)
        other = make_part(tmp_path / "other", b"other", force=False)
        publish([*sink.units, (other,)], tmp_path / "list")
        assert self.found(tmp_path) == sorted([*self.outputs(tmp_path), tmp_path / "other"])
        np.testing.assert_array_equal(self.read_back(tmp_path, sink), self.values(info))

    def test_the_bytes_depend_on_values_alone(self, tmp_path: Path) -> None:
        info = self.info(channels=2)
        values, contents = self.values(info), []
        for window in [(7, 11, 13), (2, 3, 4)]:
            sink = self.make_sink(tmp_path, info, force=True)
            sink.create()
            for region in Region.whole(info.shape).split(window):
                sink.write(region, values[:, *region.slices()])
            sink.finish()
            contents.append([path.read_bytes() for path in self.found(tmp_path)])
        assert contents[0] == contents[1]

    @pytest.mark.parametrize("when", ["made", "created", "written", "finished"])
    def test_abort_leaves_no_trace(self, tmp_path: Path, when: str) -> None:
        info = self.info()
        sink = self.make_sink(tmp_path, info)
        if when != "made":
            sink.create()
        if when in ("written", "finished"):
            sink.write(Region.whole(info.shape), self.values(info))
        if when == "finished":
            sink.finish()
        expected = self.found(tmp_path) if when == "finished" else []
        sink.abort()
        sink.abort()
        assert self.found(tmp_path) == expected

    def test_an_existing_output_is_kept_or_replaced_whole(self, tmp_path: Path) -> None:
        if not self.has_files:
            pytest.skip("nothing on disk")
        info = self.info()
        values = self.values(info)
        self.written(tmp_path, info, values)
        before = {path: path.read_bytes() for path in self.found(tmp_path)}
        with pytest.raises(OutputError, match="exists"):
            self.make_sink(tmp_path, info).create()
        assert {path: path.read_bytes() for path in self.found(tmp_path)} == before
        sink = self.make_sink(tmp_path, info, force=True)
        sink.create()
        sink.write(Region.whole(info.shape), values + 1)
        assert {path: path.read_bytes() for path in before} == before
        sink.abort()
        assert {path: path.read_bytes() for path in self.found(tmp_path)} == before
        sink = self.written(tmp_path, info, values + 1, force=True)
        np.testing.assert_array_equal(self.read_back(tmp_path, sink), values + 1)
        assert self.found(tmp_path) == sorted(before)

    def test_a_name_taken_meanwhile_is_not_overwritten(self, tmp_path: Path) -> None:
        if not self.has_files:
            pytest.skip("nothing on disk")
        info = self.info()
        sink = self.make_sink(tmp_path, info)
        sink.create()
        sink.write(Region.whole(info.shape), self.values(info))
        taken = self.outputs(tmp_path)[0]
        taken.write_bytes(b"someone else's")
        with pytest.raises(OutputError, match="exists"):
            sink.finish()
        sink.abort()
        assert taken.read_bytes() == b"someone else's"
        assert self.found(tmp_path) == [taken]

    def test_mode_follows_the_umask(self, tmp_path: Path) -> None:
        if not self.has_files:
            pytest.skip("nothing on disk")
        info = self.info()
        before = os.umask(0o027)
        try:
            sink = self.make_sink(tmp_path, info)
            sink.create()
            assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in self.found(tmp_path))
            sink.write(Region.whole(info.shape), self.values(info))
            sink.finish()
        finally:
            os.umask(before)
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o640 for path in self.found(tmp_path))

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
    def test_integers_are_rounded_clipped_and_counted(self, tmp_path: Path, dtype: str) -> None:
        info = self.info(shape=(1, 2, 4), dtype=dtype)
        limits = np.iinfo(dtype)
        values = np.array([0.5, 1.5, 2.5, np.nan, -np.inf, 3e9, 7.0, 8.49], np.float32).reshape(1, 1, 2, 4)
        sink = self.written(tmp_path, info, values)
        expected = [0, 2, 2, 0, limits.min, limits.max, 7, 8]
        np.testing.assert_array_equal(self.read_back(tmp_path, sink).ravel(), expected)
        assert sink.clipped == 3

    @pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
    def test_values_that_are_not_finite_are_counted(self, tmp_path: Path, dtype: str) -> None:
        values = np.array([np.nan, -np.inf, np.inf, 3e38, 3e38, 1, 2, 3], np.float32).reshape(1, 1, 2, 4)
        sink = self.written(tmp_path, self.info(shape=(1, 2, 4), dtype=dtype), values)
        assert sink.not_finite == (0 if dtype == "uint8" else 3)

    @pytest.mark.parametrize("dtype", ["int64", "uint64", "float64"])
    def test_values_of_the_stored_type_pass_bit_for_bit(self, tmp_path: Path, dtype: str) -> None:
        info = self.info(shape=(1, 2, 3), dtype=dtype)
        if dtype == "float64":
            values = np.array([1 / 3, -0.0, np.inf, 5e-324, 1e308, np.nan])
        else:
            values = np.array([np.iinfo(dtype).max - i for i in range(6)], dtype)
        sink = self.written(tmp_path, info, values.reshape(1, 1, 2, 3))
        assert self.read_back(tmp_path, sink).tobytes() == values.tobytes()

    def test_memory_stays_below_what_window_bytes_says(self, tmp_path: Path) -> None:
        info = self.info(shape=(40, 90, 100), dtype="int16")
        region = Region((3, 1, 2), (38, 89, 95))
        values = np.full((1, *region.shape), 1e6, np.float32)
        sink = self.make_sink(tmp_path, info)
        sink.create()
        sink.write(region, values)
        tracemalloc.start()
        sink.write(region, values)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        sink.abort()
        assert peak <= sink.window_bytes(region.shape) + _SLACK_BYTES

    def found(self, folder: Path) -> list[Path]:
        """Return every file below `folder`."""
        return sorted(path for path in folder.rglob("*") if not path.is_dir())

    def shown(self, folder: Path) -> list[Path]:
        """Return the final names that are there."""
        return [path for path in self.outputs(folder) if path.exists()] if self.has_files else []

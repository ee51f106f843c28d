"""What every volume source must do; a test class of a format inherits `SourceContract` and says how to make one."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..errors import RunError
from ..formats.base import Source
from ..region import Region

_SLACK_BYTES = 1 << 18


class SourceContract:
    """Inherit as ``class TestMySource(SourceContract)`` and implement `make_source`."""

    changes_on_disk = True
    """Whether the source has a file that can change under it."""

    def make_source(self, folder: Path, values: NDArray[Any], order: str) -> Source:
        """Return an opened source of `values`.

        Parameters
        ----------
        folder : Path
            Empty, for the file.
        values : (C, D, H, W) array
            float32, int16 or float64; stored as they are, unscaled.
        order : str
            `kji` or `ijk`; the file's axes are such that D, H, W come out as in `values`.
        """
        raise NotImplementedError

    @staticmethod
    def values(dtype: str = "float32", shape: tuple[int, ...] = (2, 7, 11, 13)) -> NDArray[Any]:
        """Return values of which no two are alike."""
        return np.random.default_rng(5).permutation(int(np.prod(shape))).reshape(shape).astype(dtype)

    def loaded(self, folder: Path, values: NDArray[Any], order: str = "kji", scratch: Path | None = None) -> Source:
        """Return a source that can be read."""
        source = self.make_source(folder, values, order)
        source.load(scratch)
        return source

    @pytest.mark.parametrize("order", ["kji", "ijk"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_info_says_what_is_stored(self, tmp_path: Path, order: str, channels: int) -> None:
        values = self.values("int16")[:channels]
        source = self.make_source(tmp_path, values, order)
        assert source.info.shape == values.shape[1:]
        assert source.info.channels == channels
        assert source.info.batch == 1
        assert source.info.dtype == values.dtype
        assert source.info.dtype.isnative
        assert source.info.axes == order
        assert source.info.geometry.shape == source.info.shape
        assert not source.info.is_scaled
        assert source.warnings == []
        source.close()

    @pytest.mark.parametrize("order", ["kji", "ijk"])
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
    def test_whole_volume(self, tmp_path: Path, order: str, dtype: str) -> None:
        values = self.values(dtype)
        source = self.loaded(tmp_path, values, order)
        for kind in {"float32", "float64", dtype}:
            out = np.full(values.shape, 99, kind)
            source.read(Region.whole(source.info.shape), out)
            np.testing.assert_array_equal(out, values.astype(kind))
        source.close()

    @pytest.mark.parametrize("order", ["kji", "ijk"])
    def test_every_window_equals_the_whole(self, tmp_path: Path, order: str) -> None:
        values, rng = self.values(), np.random.default_rng(11)
        source = self.loaded(tmp_path, values, order)
        for _ in range(60):
            ends = [sorted(rng.integers(0, n + 1, 2)) for n in values.shape[1:]]
            region = Region(tuple(int(a) for a, _ in ends), tuple(int(b) for _, b in ends))
            out = np.zeros((values.shape[0], *region.shape), np.float32)
            source.read(region, out)
            np.testing.assert_array_equal(out, values[:, *region.slices()])
        source.close()

    def test_a_window_fills_a_view_and_nothing_else(self, tmp_path: Path) -> None:
        values = self.values()
        source = self.loaded(tmp_path, values)
        buffer = np.full((4, 9, 9, 9), -1, np.float32)
        region = Region((1, 2, 3), (4, 5, 6))
        source.read(region, buffer[1:3, 2:8:2, 1:4, 8:2:-2])
        expected = np.full((4, 9, 9, 9), -1, np.float32)
        expected[1:3, 2:8:2, 1:4, 8:2:-2] = values[:, *region.slices()]
        np.testing.assert_array_equal(buffer, expected)
        source.close()

    def test_memory_stays_below_what_window_bytes_says(self, tmp_path: Path) -> None:
        values = self.values(shape=(1, 40, 90, 100))
        source = self.loaded(tmp_path, values)
        region = Region((3, 1, 2), (38, 89, 95))
        out = np.zeros((1, *region.shape), np.float32)
        source.read(region, out)
        tracemalloc.start()
        source.read(region, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak <= source.window_bytes(region.shape) + _SLACK_BYTES
        source.close()

    def test_scratch_gives_the_same_and_is_left_clean(self, tmp_path: Path) -> None:
        values, scratch = self.values(), tmp_path / "scratch"
        folder = tmp_path / "files"
        folder.mkdir()
        source = self.loaded(folder, values, scratch=scratch)
        out = np.zeros(values.shape, np.float32)
        source.read(Region.whole(source.info.shape), out)
        np.testing.assert_array_equal(out, values)
        source.close()
        source.close()
        assert not scratch.exists() or not list(scratch.iterdir())

    def test_digest_and_identity(self, tmp_path: Path) -> None:
        source = self.loaded(tmp_path, self.values())
        digest = source.digest()
        assert len(digest) == 64
        assert digest == digest.lower()
        assert source.digest() == digest
        if self.changes_on_disk:
            expected = hashlib.sha256(b"".join(p.read_bytes() for p in self.files(tmp_path)))
            assert digest == expected.hexdigest()
        source.check_unchanged()
        source.close()

    def test_a_change_under_way_is_told(self, tmp_path: Path) -> None:
        if not self.changes_on_disk:
            pytest.skip("nothing on disk")
        source = self.loaded(tmp_path, self.values())
        file = self.files(tmp_path)[-1]
        times = file.stat()
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000))
        with pytest.raises(RunError, match="changed"):
            source.check_unchanged()
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        source.check_unchanged()
        copy = file.with_name("copy")
        copy.write_bytes(file.read_bytes())
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        copy.replace(file)
        with pytest.raises(RunError, match="changed"):
            source.check_unchanged()
        file.unlink()
        with pytest.raises(RunError):
            source.check_unchanged()
        source.close()

    def files(self, folder: Path) -> list[Path]:
        """Return the source's files in the order of its digest."""
        return sorted(p for p in folder.iterdir() if p.is_file())

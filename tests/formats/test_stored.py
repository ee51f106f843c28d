"""Results on their way: the same from memory and from the scratch folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volconv.errors import RunError
from volconv.formats.stored import StoredVolume
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.volume import VolumeInfo

SHAPES = st.tuples(*[st.integers(1, 7)] * 3)


def info(shape: tuple[int, int, int], dtype: str = "float32") -> VolumeInfo:
    return VolumeInfo(shape, 2, np.dtype(dtype), Geometry(None, shape))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES, written=SHAPES, read=SHAPES, dtype=st.sampled_from(["float32", "float64", "uint8"]))
@pytest.mark.parametrize("in_memory", [True, False])
def test_windows_come_back(
    tmp_path: Path, in_memory: bool, shape: tuple[int, ...], written: tuple[int, ...], read: tuple[int, ...], dtype: str
) -> None:
    store = StoredVolume(info(shape, dtype), None if in_memory else tmp_path, "out.nii")
    values = np.random.default_rng(0).integers(0, 200, (2, *shape)).astype(dtype)
    for _ in range(2):
        for region in Region.whole(shape).split(written):
            store.write(region, values[:, *region.slices()])
        for region in Region.whole(shape).split(read):
            part = np.zeros((2, *region.shape), dtype)
            store.read(region, part)
            np.testing.assert_array_equal(part, values[:, *region.slices()])
        store.close()
        values = values[:, ::-1].copy()
    assert not list(tmp_path.iterdir())


def test_what_it_takes(tmp_path: Path) -> None:
    memory, disk = StoredVolume(info((3, 4, 5)), None, "o"), StoredVolume(info((3, 4, 5)), tmp_path, "o")
    assert memory.nbytes == disk.nbytes == memory.resident_bytes == 2 * 60 * 4
    assert disk.resident_bytes == 0
    with pytest.raises(RunError, match="before it was written"):
        disk.read(Region.whole((3, 4, 5)), np.zeros((2, 3, 4, 5), np.float32))

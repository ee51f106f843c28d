"""Results that wait until their last voxel has come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from volconv.formats.in_memory import ArraySink, ArraySource
from volconv.formats.open import open_sink
from volconv.formats.returned import ReturnedSink
from volconv.formats.stored import StoredVolume
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract
from volconv.volume import OutputInfo, VolumeInfo


class TestReturned(SinkContract):
    """Stored and handed on as it came."""

    def make_sink(self, folder: Path, info: OutputInfo, force: bool = False) -> ReturnedSink:
        inner = open_sink(folder / "out.h5", info, scratch=folder / "scratch", force=force)
        like = VolumeInfo(info.shape, info.channels, np.dtype("f8"), Geometry(None, info.shape))
        return ReturnedSink(inner, StoredVolume(like, None, "out.h5"), lambda store: store)

    def outputs(self, folder: Path) -> list[Path]:
        return [folder / "out.h5"]

    def read_back(self, folder: Path, sink: ReturnedSink) -> np.ndarray:
        import h5py

        with h5py.File(folder / "out.h5") as file:
            values = file["data"][()]
        values = values if values.ndim == 4 else values[None]
        return values if sink.info.origin.axes == "kji" else values.transpose(0, 3, 2, 1)

    @pytest.mark.skip(reason="it waits in the type of the stages, float64 here")
    def test_values_of_the_stored_type_pass_bit_for_bit(self, tmp_path: Path, dtype: str) -> None:
        raise NotImplementedError

    @pytest.mark.skip(reason="what waits is held beside: resident_bytes")
    def test_memory_stays_below_what_window_bytes_says(self, tmp_path: Path) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("in_memory", [True, False])
def test_each_volume_of_a_batch_goes_when_it_is_whole(tmp_path: Path, in_memory: bool) -> None:
    values = np.random.default_rng(0).random((3, 2, 4, 5, 6)).astype(np.float32)
    info = OutputInfo((4, 5, 6), 2, np.dtype("f4"), ArraySource(values).info, batch=3)
    own = ArraySink(info)
    like = VolumeInfo((4, 5, 6), 2, np.dtype("f4"), Geometry(None, (4, 5, 6)))
    sink = ReturnedSink(own, StoredVolume(like, None if in_memory else tmp_path, "o"), lambda store: store)
    assert sink.scratch_bytes == (0 if in_memory else 2 * 120 * 4)
    sink.create()
    for batch, volume in enumerate(values):
        for region in Region.whole((4, 5, 6)).split((2, 5, 4)):
            sink.write(region, volume[:, *region.slices()], batch)
    sink.finish()
    np.testing.assert_array_equal(own.array, values)
    assert not list(tmp_path.iterdir())

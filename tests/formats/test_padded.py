"""Zeros at the high ends, and results without what follows from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.formats.in_memory import ArraySink, ArraySource
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.padded import CroppedSink, PaddedSource, cropped_shape
from volconv.geometry import VoxelMap
from volconv.region import Region
from volconv.testing.source_contract import SourceContract
from volconv.volume import OutputInfo

from .files import write_nifti


class TestPadded(SourceContract):
    """A multiple that pads nothing."""

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> PaddedSource:
        path = write_nifti(folder / "v.nii", values, order)
        return PaddedSource(NiftiSource(path, order=order, channels=len(values)), 1)


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3), multiple=st.integers(1, 7), window=st.tuples(*[st.integers(1, 9)] * 3)
)
def test_windows_are_those_of_the_padded_array(shape: tuple[int, ...], multiple: int, window: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    source = PaddedSource(ArraySource(values, (1, 2, 3)), multiple)
    assert all(n % multiple == 0 and 0 <= n - m < multiple for n, m in zip(source.info.shape, shape, strict=True))
    assert source.info.geometry.shape == source.info.shape
    assert source.info.geometry.spacing_mm == (1, 2, 3)
    expected = np.pad(values, [(0, 0), *((0, n - m) for n, m in zip(source.info.shape, shape, strict=True))])
    for region in Region.whole(source.info.shape).split(window):
        part = np.full((2, *region.shape), np.nan, np.float32)
        source.read(region, part)
        np.testing.assert_array_equal(part, expected[:, *region.slices()])


def test_a_sink_keeps_the_low_ends() -> None:
    values = np.arange(6 * 6 * 6, dtype=np.float32).reshape(1, 6, 6, 6)
    own = ArraySink(OutputInfo((5, 6, 2), 1, np.dtype("f4"), ArraySource(values).info))
    sink = CroppedSink(own, (5, 6, 2))
    sink.create()
    for region in Region.whole((6, 6, 6)).split((2, 5, 4)):
        sink.write(region, values[:, *region.slices()])
    sink.finish()
    np.testing.assert_array_equal(own.array, values[:, :5, :6, :2])


@pytest.mark.parametrize(
    ("shape", "scale", "offset", "bound", "kept"),
    [
        (64, 1, 0, 50, 50),  # unchanged
        (32, 2, 0.5, 50, 25),  # kernel 2, stride 2
        (32, 2, 0.5, 51, 25),  # as without padding, which drops the odd one
        (32, 2, 0, 51, 26),  # kernel 3, stride 2, padding 1
        (128, 0.5, -0.25, 50, 100),  # transposed, kernel 2, stride 2
        (1, 64, 31.5, 50, 1),  # the mean of all
    ],
)
def test_what_is_kept_has_its_centre_in_the_scan(
    shape: int, scale: float, offset: float, bound: int, kept: int
) -> None:
    voxel_map = VoxelMap((scale,) * 3, (offset,) * 3)
    assert cropped_shape((shape,) * 3, voxel_map, (bound,) * 3) == (kept,) * 3

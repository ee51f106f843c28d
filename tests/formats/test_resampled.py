"""Resampling against `scipy.ndimage.map_coordinates`, and windows against the whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from volconv.formats import resampled
from volconv.formats.in_memory import ArraySource
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.resampled import AxisMap, ResampledSource, make_axis_maps, make_voxel_map, resample
from volconv.formats.spline import copy_taps
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.testing.source_contract import SourceContract

from .files import write_nifti

OLD_MM = (3.0, 2.0, 1.5)


class TestResampled(SourceContract):
    """Axes that stay as they are."""

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> ResampledSource:
        path = write_nifti(folder / "v.nii", values, order)
        inner = NiftiSource(path, order=order, channels=len(values))
        return ResampledSource(inner, [copy_taps(n) for n in inner.info.shape], inner.info.geometry)


def make(values: np.ndarray, new_mm: tuple[float, float, float], order: int) -> ResampledSource:
    inner = ArraySource(values, OLD_MM)
    maps = make_axis_maps(inner.info.shape, OLD_MM, new_mm)
    shape = tuple(axis.new for axis in maps)
    found = resample(inner, maps, order, inner.info.geometry.moved(make_voxel_map(maps), shape))
    assert isinstance(found, ResampledSource)
    return found


def whole(source: ResampledSource, dtype: str) -> np.ndarray:
    out = np.full((source.info.channels, *source.info.shape), 99, dtype)
    source.read(Region.whole(source.info.shape), out)
    return out


def scipys(values: np.ndarray, new_mm: tuple[float, ...], order: int, dtype: str) -> np.ndarray:
    shape = [int(np.ceil(n * old / new)) for n, old, new in zip(values.shape, OLD_MM, new_mm, strict=True)]
    places = [
        (np.arange(m) - (m - 1) / 2) * new / old + (n - 1) / 2
        for m, n, old, new in zip(shape, values.shape, OLD_MM, new_mm, strict=True)
    ]
    return map_coordinates(values, np.meshgrid(*places, indexing="ij"), order=order, mode="nearest", output=dtype)


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("new_mm", [(1.0, 1.0, 1.0), (3.0, 2.5, 0.7), (0.5, 2.0, 1.3), (7.0, 9.0, 5.0)])
@pytest.mark.parametrize("shape", [(13, 20, 9), (1, 2, 3)])
def test_values_are_scipys(shape: tuple[int, ...], new_mm: tuple[float, float, float], order: int) -> None:
    values = np.random.default_rng(order).standard_normal((2, *shape))
    found = whole(make(values, new_mm, order), "float64")
    for channel, x in zip(found, values, strict=True):
        np.testing.assert_allclose(channel, scipys(x, new_mm, order, "float64"), atol=0 if order == 0 else 2e-13)
    single = values.astype(np.float32)
    found = whole(make(single, new_mm, order), "float32")
    expected = scipys(single[0], new_mm, order, "float32")
    np.testing.assert_array_max_ulp(found[0], expected, 1 if order else 0)


@settings(max_examples=25, deadline=None)
@given(
    order=st.integers(0, 5),
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    new_mm=st.tuples(*[st.floats(0.4, 8)] * 3),
    window=st.tuples(*[st.integers(1, 20)] * 3),
    block=st.integers(1, 4000),
)
def test_windows_are_the_whole_bit_for_bit(
    order: int, shape: tuple[int, ...], new_mm: tuple[float, float, float], window: tuple[int, ...], block: int
) -> None:
    source = make(np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32), new_mm, order)
    expected = whole(source, "float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampled, "_BLOCK_BYTES", block)
        found = np.full_like(expected, np.nan)
        for region in Region.whole(source.info.shape).split(window):
            part = np.empty((1, *region.shape), np.float32)
            source.read(region, part)
            found[:, *region.slices()] = part
    assert found.tobytes() == expected.tobytes()


def test_labels_pass_in_their_own_type() -> None:
    values = np.random.default_rng(0).integers(0, 200, (1, 5, 6, 7)).astype(np.uint8)
    source = make(values, (1.0, 1.0, 1.0), 0)
    assert source.info.dtype == np.uint8
    found = whole(source, "uint8")
    np.testing.assert_array_equal(found[0], scipys(values[0], (1, 1, 1), 0, "uint8"))
    assert make(values, (1.0, 1.0, 1.0), 1).info.dtype == np.float32


def test_centres_coincide_and_voxels_lie_where_the_map_says() -> None:
    inner = ArraySource(np.zeros((1, 5, 6, 7)), OLD_MM)
    maps = make_axis_maps((5, 6, 7), OLD_MM, (2.0, 2.0, 4.0))
    assert [axis.new for axis in maps] == [8, 6, 3]
    moved: Geometry = inner.info.geometry.moved(make_voxel_map(maps), (8, 6, 3))
    assert inner.info.geometry.affine is not None
    assert moved.affine is not None
    centre_old = inner.info.geometry.affine @ [2, 2.5, 3, 1]
    np.testing.assert_allclose(moved.affine @ [3.5, 2.5, 1, 1], centre_old)
    assert moved.spacing_mm == pytest.approx((2, 2, 4))
    assert resample(inner, make_axis_maps((5, 6, 7), OLD_MM, OLD_MM), 1, moved) is inner


def test_lengths_that_single_precision_blurred_are_whole() -> None:
    blurred = float(np.float32(1.1))
    assert AxisMap(36, blurred, 2.2).new == 18
    assert AxisMap(36, blurred, 1.1).is_identity
    assert AxisMap(36, 1.1, 1.0).new == 40
    assert AxisMap(1, 1.0, 50.0).new == 1
    places = np.arange(7.0)
    axis = AxisMap(7, 1.5, 0.4)
    np.testing.assert_allclose(axis.to_old(axis.to_new(places)), places)


@pytest.mark.slow
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("new_mm", [(1.0, 1.0, 1.0), (5.0, 4.0, 4.0)])
def test_memory_stays_below_what_window_bytes_says(order: int, new_mm: tuple[float, float, float]) -> None:
    source = make(np.zeros((2, 70, 90, 60), np.float32), new_mm, order)
    d, h, w = source.info.shape
    for region in (Region.whole((d, h, w)), Region((1, 2, 3), (d - 1, h // 2, w // 2))):
        out = np.zeros((2, *region.shape), np.float32)
        source.read(region, out)
        tracemalloc.start()
        source.read(region, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak <= source.window_bytes(region.shape) + (1 << 16)

"""Scans prepared and results finished, as arrays, against NumPy and SciPy on the whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from volconv.errors import FormatError
from volconv.formats.finishing import Finishing
from volconv.formats.in_memory import ArraySink, ArraySource
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.prepared import PreparedSource
from volconv.geometry import IDENTITY, VoxelMap
from volconv.preparation import Preparation, Window
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract
from volconv.testing.source_contract import SourceContract
from volconv.volume import OutputInfo

from .files import write_nifti

MM = (3.0, 2.0, 1.5)


class TestPrepared(SourceContract):
    """A preparation that changes nothing."""

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> PreparedSource:
        path = write_nifti(folder / "v.nii", values, order)
        return PreparedSource(NiftiSource(path, order=order, channels=len(values)), Preparation(returns=True))


class TestMaskedArray(SinkContract):
    """A sink behind which a mask lets everything pass."""

    has_files = False

    def make_sink(self, folder: Path, info: OutputInfo, force: bool = False):  # noqa: ARG002
        self.own = ArraySink(info)
        scan = ArraySource(np.zeros((1, *info.shape)), MM)
        mask = ArraySource(np.ones((1, *info.shape)))
        source = PreparedSource(scan, Preparation(returns=True), mask)
        return Finishing(source, info.shape, IDENTITY).sink(self.own, np.dtype("f4"), folder, True)

    def outputs(self, folder: Path) -> list[Path]:
        return [folder / "none"]

    def read_back(self, folder: Path, sink) -> np.ndarray:  # noqa: ARG002
        return self.own.array


def whole(source) -> np.ndarray:
    source.load(None)
    out = np.full((source.info.channels, *source.info.shape), np.nan, np.float32)
    source.read(Region.whole(source.info.shape), out)
    return out


def finish(
    finishing: Finishing, values: np.ndarray, window: tuple[int, ...], scratch: Path | None = None
) -> np.ndarray:
    shape, origin, voxel_map = finishing.place()
    own = ArraySink(OutputInfo(shape, len(values), np.dtype("f4"), origin, voxel_map))
    sink = finishing.sink(own, np.dtype("f4"), scratch or Path(), scratch is None)
    sink.create()
    for region in Region.whole(values.shape[1:]).split(window):
        sink.write(region, values[:, *region.slices()])
    sink.finish()
    return own.array


def test_every_step_in_its_order() -> None:
    values = (np.random.default_rng(0).random((1, 8, 9, 10)) * 100).astype(np.float32)
    mask = np.random.default_rng(1).random((1, 8, 9, 10)) < 0.7
    asked = Preparation("LPS", (2.0, 2.0, 3.0), 1, (Window(10, 90),), 8, False)
    source = PreparedSource(ArraySource(values, MM, order="ijk"), asked, ArraySource(mask))
    turned = values[0, ::-1, ::-1]  # the array's axes point along R, A, S
    places = [(np.arange(m) - (m - 1) / 2) * new / old + (n - 1) / 2 for m, n, new, old in
              zip((12, 9, 5), (8, 9, 10), asked.spacing_mm, MM, strict=True)]  # fmt: skip
    expected = map_coordinates(turned, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
    expected = np.clip((expected - np.float32(10)) / np.float32(80), 0, 1)
    found = whole(source)[0]
    assert found.shape == (16, 16, 8)
    np.testing.assert_allclose(found[:12, :9, :5], expected, rtol=2e-6)
    assert not found[12:].any()
    assert not found[:, 9:].any()
    assert not found[:, :, 5:].any()
    result = np.random.default_rng(2).random((2, 16, 16, 8)).astype(np.float32)
    finishing = Finishing(source, (16, 16, 8), IDENTITY)
    inside = map_coordinates(
        mask[0, ::-1, ::-1].astype(float), np.meshgrid(*places, indexing="ij"), order=0, mode="nearest"
    )
    kept = finish(finishing, result, (5, 6, 7))
    np.testing.assert_array_equal(kept, np.where(inside > 0, result[:, :12, :9, :5], 0))
    assert source.describe()[1] == "spacing 3 x 2 x 1.5 mm -> 2 x 2 x 3 mm: 8x9x10 -> 12x9x5, order 1"
    assert finishing.describe(True) == ["cropped to 12x9x5", "0 outside the mask"]


ORDERS = st.sampled_from([0, 1, 3])


@settings(max_examples=25, deadline=None)
@given(
    order=ORDERS,
    new_mm=st.tuples(*[st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.5])] * 3),
    codes=st.sampled_from(["RAS", "LPI", "SAR", "IPR"]),
    stride=st.integers(1, 3),
    multiple=st.sampled_from([1, 4]),
    window=st.tuples(*[st.integers(1, 9)] * 3),
)
def test_back_on_the_scans_grid(order, new_mm, codes, stride, multiple, window, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    """A result of stride `stride`, its first voxel at the input's: each scan voxel gets what lies at its place."""
    scan = ArraySource(np.zeros((1, 7, 8, 6)), MM)
    source = PreparedSource(scan, Preparation(codes, new_mm, order, (), multiple, True))
    shape = tuple(-(-n // stride) for n in source.info.shape)
    voxel_map = VoxelMap((float(stride),) * 3)
    finishing = Finishing(source, shape, voxel_map)
    values = np.random.default_rng(order).random((2, *shape)).astype(np.float32)
    found = finish(finishing, values, window)
    assert found.tobytes() == finish(finishing, values, shape, tmp_path_factory.mktemp("s")).tobytes()
    geometry = source.origin.geometry.moved(voxel_map.after(source.voxel_map), finishing.kept)
    to_result = np.linalg.inv(geometry.affine) @ scan.info.geometry.affine
    grid = np.moveaxis(np.indices((7, 8, 6)), 0, -1)
    places = np.moveaxis(grid @ to_result[:3, :3].T + to_result[:3, 3], -1, 0)
    kept = values[:, *(slice(n) for n in finishing.kept)]
    limits = np.array(finishing.kept).reshape(3, 1, 1, 1)
    beyond = ((places < -0.5 - 1e-9) | (places > limits - 0.5 + 1e-9)).any(axis=0)
    if order == 0:  # ties may fall either way once an inverse was taken
        places = np.where(np.abs(places % 1 - 0.5) < 1e-9, places + 1e-6, places)
    for channel, result in zip(found, kept, strict=True):
        expected = np.where(beyond, 0, map_coordinates(result, places, order=order, mode="nearest"))
        if order:
            np.testing.assert_allclose(channel, expected, atol=1e-5)
        else:
            np.testing.assert_array_equal(channel, expected)


def test_turns_alone_are_undone_without_a_detour() -> None:
    values = np.random.default_rng(0).random((1, 4, 5, 6)).astype(np.float32)
    source = PreparedSource(ArraySource(values, MM), Preparation("SLP", returns=True))
    turned = whole(source)
    finishing = Finishing(source, turned.shape[1:], IDENTITY)
    assert not finishing.resamples
    np.testing.assert_array_equal(finish(finishing, turned, (2, 3, 4)), values)


def test_labels_come_back_by_their_nearest_neighbour() -> None:
    source = PreparedSource(
        ArraySource(np.zeros((1, 6, 6, 6)), (1, 1, 1)), Preparation(None, (2, 2, 2), 3, returns=True)
    )
    values = np.random.default_rng(0).integers(0, 9, (1, 3, 3, 3)).astype(np.uint8)
    finishing = Finishing(source, (3, 3, 3), IDENTITY)
    shape, origin, voxel_map = finishing.place()
    own = ArraySink(OutputInfo(shape, 1, np.dtype("u1"), origin, voxel_map, labels=True))
    sink = finishing.sink(own, np.dtype("u1"), Path(), True)
    sink.create()
    sink.write(Region.whole((3, 3, 3)), values)
    sink.finish()
    np.testing.assert_array_equal(own.array, values.repeat(2, 1).repeat(2, 2).repeat(2, 3))


def test_what_a_scan_does_not_say() -> None:
    scan = ArraySource(np.zeros((1, 2, 3, 4)))
    with pytest.raises(FormatError, match=r"does not say its spacing, which input.spacing needs"):
        PreparedSource(scan, Preparation(spacing_mm=(1, 1, 1)))
    with pytest.raises(FormatError, match="does not say which way its axes point"):
        PreparedSource(scan, Preparation("RAS"))


@pytest.mark.slow
@pytest.mark.parametrize("in_memory", [True, False])
def test_memory_of_the_way_back_stays_below_what_it_says(tmp_path: Path, in_memory: bool) -> None:
    scan = ArraySource(np.zeros((1, 100, 120, 90)), MM)
    source = PreparedSource(scan, Preparation("LPS", (2.0, 2.0, 2.0), 1, returns=True))
    finishing = Finishing(source, source.info.shape, IDENTITY)
    shape, origin, voxel_map = finishing.place()
    own = ArraySink(OutputInfo(shape, 2, np.dtype("f4"), origin, voxel_map))
    sink = finishing.sink(own, np.dtype("f4"), tmp_path, in_memory)
    sink.create()
    values = np.zeros((2, 50, *source.info.shape[1:]), np.float32)
    tracemalloc.start()
    for region in Region.whole(source.info.shape).split((50, *source.info.shape[1:])):
        sink.write(region, values[:, : region.shape[0]])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= sink.window_bytes((50, *source.info.shape[1:])) + sink.resident_bytes + (1 << 16)

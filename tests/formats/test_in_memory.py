"""Arrays as volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volconv.errors import RunError, ShapeError, UsageError
from volconv.formats.in_memory import ArraySink, ArraySource
from volconv.geometry import Geometry
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract
from volconv.testing.source_contract import SourceContract
from volconv.volume import OutputInfo, VolumeInfo


class TestArraySource(SourceContract):
    changes_on_disk = False

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> ArraySource:  # noqa: ARG002
        return ArraySource(values, order=order)


class TestArraySink(SinkContract):
    has_files = False

    def make_sink(self, folder: Path, info: OutputInfo, force: bool = False) -> ArraySink:  # noqa: ARG002
        return ArraySink(info)

    def outputs(self, folder: Path) -> list[Path]:  # noqa: ARG002
        return []

    def read_back(self, folder: Path, sink: Any) -> np.ndarray:  # noqa: ARG002
        return sink.array


def test_a_batch() -> None:
    values = np.arange(2 * 3 * 4 * 5 * 6, dtype=">i4").reshape(2, 3, 4, 5, 6)
    source = ArraySource(values, spacing=(3, 2, 1))
    assert (source.info.batch, source.info.channels, source.info.shape) == (2, 3, (4, 5, 6))
    assert source.info.geometry.spacing_mm == (3, 2, 1)
    info = OutputInfo((4, 5, 6), 3, np.dtype(np.int64), source.info, batch=2)
    sink = ArraySink(info)
    sink.create()
    for batch in range(2):
        out = np.zeros((3, 4, 5, 6), np.int32)
        source.read(Region.whole((4, 5, 6)), out, batch)
        sink.write(Region.whole((4, 5, 6)), out, batch)
    assert sink.array is None
    sink.finish()
    np.testing.assert_array_equal(sink.array, values)


def test_large_integers_are_rounded_once() -> None:
    values = np.array([2**62 + 2**38 + 1, 2**53 + 1, -7, 0]).reshape(1, 1, 2, 2)
    out = np.zeros((1, 1, 2, 2), np.float32)
    ArraySource(values).read(Region.whole((1, 2, 2)), out)
    np.testing.assert_array_equal(out, values.astype(np.float64).astype(np.float32))


def test_the_array_is_neither_copied_nor_changed() -> None:
    values = np.zeros((1, 2, 3, 4))
    source = ArraySource(values)
    digest = source.digest()
    values[0, 0, 0, 0] = 1
    assert source.digest() != digest
    assert ArraySource(np.asfortranarray(values)).digest() == source.digest()
    assert ArraySource(values.astype(">f8")).digest() == source.digest()
    assert ArraySource(values.astype("f4")).digest() != source.digest()


def test_booleans_are_0_and_1() -> None:
    source = ArraySource(np.array([True, False]).reshape(1, 1, 1, 2))
    assert source.info.dtype == np.uint8
    out = np.zeros((1, 1, 1, 2), np.float32)
    source.read(Region.whole((1, 1, 2)), out)
    assert out.ravel().tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (1, 2, 3, 0), (1,) * 6])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected"):
        ArraySource(np.zeros(shape))


@pytest.mark.parametrize("kind", ["c8", "S3", "M8[s]", "O"])
def test_wrong_types(kind: str) -> None:
    with pytest.raises(UsageError, match="expected integers or floats"):
        ArraySource(np.zeros((1, 2, 2, 2), kind))


@pytest.mark.parametrize("spacing", [(1, 2), (0, 1, 1), (1, -1, 1), (1, float("nan"), 1), (1, float("inf"), 1)])
def test_wrong_spacing(spacing: Any) -> None:
    with pytest.raises(UsageError, match="spacing"):
        ArraySource(np.zeros((1, 2, 2, 2)), spacing)


def test_a_sink_that_is_not_ready() -> None:
    info = OutputInfo((1, 1, 2), 1, np.dtype("f4"), VolumeInfo((1, 1, 2), 1, np.dtype("f4"), Geometry(None, (1, 1, 2))))
    sink = ArraySink(info)
    with pytest.raises(RunError):
        sink.write(Region.whole((1, 1, 2)), np.zeros((1, 1, 1, 2), np.float32))
    huge = ArraySink(OutputInfo((1 << 20,) * 3, 1, np.dtype("f8"), info.origin))
    with pytest.raises(RunError, match="no memory"):
        huge.create()

"""Intensity steps against NumPy on the whole array, bit for bit in any windows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.errors import FormatError
from volconv.formats import intensity
from volconv.formats.in_memory import ArraySource
from volconv.formats.intensity import IntensitySource, describe_step
from volconv.formats.nifti_source import NiftiSource
from volconv.preparation import IntensityStep, MinMax, Percentile, Rescale, Window, ZScore
from volconv.region import Region
from volconv.testing.source_contract import SourceContract

from .files import write_nifti

ONE = np.float32(1)


def reference(values: np.ndarray, step: IntensityStep, inside: np.ndarray) -> np.ndarray:
    """Return `values` (float32) after `step`, as one would write it in NumPy."""
    match step:
        case ZScore(above=above):
            chosen = values[inside if above is None else inside & (values > np.float32(above))].astype(np.float64)
            return (values - np.float32(chosen.mean())) / np.float32(chosen.std())
        case MinMax(low=low, high=high):
            t = (values - values[inside].min()) / (values[inside].max() - values[inside].min())
            return t if (low, high) == (0, 1) else np.float32(low) * (ONE - t) + np.float32(high) * t
        case Percentile(low=low, high=high, eps=eps):
            a, b = np.percentile(values[inside], [low, high]).astype(np.float32)
            return np.clip((values - a) / (b - a + np.float32(eps)), 0, 1)
        case Window(low=low, high=high):
            return np.clip((values - np.float32(low)) / (np.float32(high) - np.float32(low)), 0, 1)
        case Rescale(scale=scale, shift=shift):
            return values * np.float32(scale) + np.float32(shift)


def read(source: IntensitySource, dtype: str = "float32", window: tuple[int, ...] | None = None) -> np.ndarray:
    info = source.info
    out = np.full((info.batch, info.channels, *info.shape), np.nan, dtype)
    for batch in range(info.batch):
        for region in Region.whole(info.shape).split(window or info.shape):
            source.read(region, out[batch][:, *region.slices()], batch)
    return out


class TestIntensity(SourceContract):
    """Without a step values pass as they are."""

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> IntensitySource:
        path = write_nifti(folder / "v.nii", values, order)
        return IntensitySource(NiftiSource(path, order=order, channels=values.shape[0]), [])


class TestWithSteps(SourceContract):
    """A step that changes nothing: values are float32 then."""

    def make_source(self, folder: Path, values: np.ndarray, order: str) -> IntensitySource:
        path = write_nifti(folder / "v.nii", values, order)
        return IntensitySource(NiftiSource(path, order=order, channels=values.shape[0]), [Rescale(1, 0)])

    @pytest.mark.skip(reason="values are float32 after a step")
    def test_info_says_what_is_stored(self, tmp_path: Path, order: str, channels: int) -> None:
        raise NotImplementedError

    @pytest.mark.parametrize("order", ["kji", "ijk"])
    def test_whole_volume(self, tmp_path: Path, order: str) -> None:
        super().test_whole_volume(tmp_path, order, "float32")


STEPS: list[IntensityStep] = [
    ZScore(),
    ZScore(above=0.0),
    MinMax(),
    MinMax(-1, 3),
    Percentile(2, 98),
    Percentile(0.5, 99.5, eps=1e-3),
    Window(-100, 300),
    Rescale(0.5, -3),
]


@pytest.mark.parametrize("step", STEPS, ids=describe_step)
@pytest.mark.parametrize("masked", [False, True])
def test_a_step_is_numpys(step: IntensityStep, masked: bool) -> None:
    rng = np.random.default_rng(1)
    values = (rng.standard_normal((2, 3, 5, 6, 7)) * 200).astype(np.float32)
    inside = rng.random((5, 6, 7)) < 0.4 if masked else np.ones((5, 6, 7), bool)
    mask = ArraySource(inside[None].astype(np.uint8)) if masked else None
    source = IntensitySource(ArraySource(values), [step], mask)
    source.load(None)
    found = read(source)
    for batch, volume in enumerate(values):
        for channel, x in enumerate(volume):
            np.testing.assert_allclose(found[batch, channel], reference(x, step, inside), rtol=3e-7, atol=1e-7)
            if not isinstance(step, ZScore):  # NumPy's mean is rounded as it is summed
                np.testing.assert_array_equal(found[batch, channel], reference(x, step, inside))


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=3),
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    window=st.tuples(*[st.integers(1, 9)] * 3),
    passes=st.integers(1, 400),
    seed=st.integers(0, 99),
)
def test_any_windows_give_the_same_bits(
    steps: list[IntensityStep], shape: tuple[int, ...], window: tuple[int, ...], passes: int, seed: int
) -> None:
    values = (np.random.default_rng(seed).standard_normal((1, *shape)) * 100).astype(np.float32)
    mask = ArraySource((np.random.default_rng(seed + 1).random((1, *shape)) < 0.9).astype(np.float32))
    found = []
    for count in (intensity.PASS_BYTES, 4 * passes):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intensity, "PASS_BYTES", count)
            patch.setattr(intensity, "BLOCK", count // 4)
            source = IntensitySource(ArraySource(values), steps, mask)
            try:
                source.load(None)
            except FormatError as error:
                found.append(str(error))
                continue
            found.append(read(source).tobytes())
            found.append(read(source, window=window).tobytes())
    assert len(set(found)) == 1


def test_statistics_are_of_the_values_after_the_steps_before() -> None:
    values = (np.random.default_rng(4).standard_normal((1, 9, 9, 9)) * 50 + 20).astype(np.float32)
    everywhere = np.ones((9, 9, 9), bool)
    source = IntensitySource(ArraySource(values), [Percentile(5, 95), Rescale(10, 1), MinMax(2, 4)])
    assert source.passes == 3
    source.load(None)
    expected = values[0]
    for step in source.steps:
        expected = reference(expected, step, everywhere)
    np.testing.assert_array_equal(read(source)[0, 0], expected)


def test_float64_windows_hold_the_float32_results() -> None:
    values = np.random.default_rng(4).standard_normal((1, 4, 5, 6))
    source = IntensitySource(ArraySource(values), [ZScore()])
    source.load(None)
    assert source.info.dtype == np.float32
    np.testing.assert_array_equal(read(source, "float64"), read(source).astype(np.float64))


def test_minmax_hits_both_ends() -> None:
    values = np.linspace(3, 1000, 60, dtype=np.float32).reshape(1, 3, 4, 5)
    source = IntensitySource(ArraySource(values), [MinMax(0.1, 0.7)])
    source.load(None)
    found = read(source)
    assert (found.min(), found.max()) == (np.float32(0.1), np.float32(0.7))


def test_nan_outside_the_mask_stays_what_it_is() -> None:
    values = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    values[0, 0] = np.nan
    mask = np.zeros((1, 2, 3, 4), np.uint8)
    mask[0, 1] = 1
    source = IntensitySource(ArraySource(values), [MinMax()], ArraySource(mask))
    source.load(None)
    found = read(source)[0, 0]
    assert np.isnan(found[0]).all()
    assert (found[1].min(), found[1].max()) == (0, 1)


@pytest.mark.parametrize(
    ("step", "values", "inside", "message"),
    [
        (ZScore(), [1, 2, np.nan, 4], 1, "zscore: found 1 or more values that are NaN or infinite"),
        (MinMax(), [1, 2, np.inf, 4], 1, "minmax .*NaN or infinite"),
        (ZScore(), [3, 3, 3, 3], 1, r"zscore: found values without a spread \(sd is 0\)"),
        (MinMax(), [3, 3, 3, 3], 1, r"without a spread \(max - min is 0\)"),
        (Percentile(10, 60), [0, 0, 0, 9], 1, "expected different quantiles, or eps above 0"),
        (ZScore(above=5), [1, 2, 3, 4], 1, "zscore above 5: found no voxel"),
        (Percentile(10, 60), [1, 2, 3, 4], 0, "found no voxel"),
    ],
)
def test_what_has_no_statistics_is_an_error(
    step: IntensityStep, values: list[float], inside: int, message: str
) -> None:
    mask = ArraySource(np.full((1, 1, 2, 2), inside))
    source = IntensitySource(ArraySource(np.array(values, np.float32).reshape(1, 1, 2, 2)), [step], mask)
    with pytest.raises(FormatError, match=message) as caught:
        source.load(None)
    assert caught.value.exit_code == 3


def test_equal_quantiles_need_an_eps() -> None:
    values = np.array([0, 0, 0, 9], np.float32).reshape(1, 1, 2, 2)
    source = IntensitySource(ArraySource(values), [Percentile(10, 60, eps=1)])
    source.load(None)
    np.testing.assert_array_equal(read(source).ravel(), [0, 0, 0, 1])


@pytest.mark.parametrize("step", [ZScore(above=0), MinMax(0, 2), Percentile(2, 98)], ids=describe_step)
def test_memory_of_statistics_stays_below_what_window_bytes_says(step: IntensityStep) -> None:
    values = np.random.default_rng(0).standard_normal((2, 100, 150, 160)).astype(np.float32)
    source = IntensitySource(ArraySource(values), [step], ArraySource(np.ones((1, 100, 150, 160), np.uint8)))
    tracemalloc.start()
    source.load(None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= source.window_bytes((1, 1, 1))

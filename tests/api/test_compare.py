"""Comparison of volumes, against NumPy's own figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from volconv.api.compare import Comparison, compare
from volconv.errors import MissingFileError, UsageError


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    with h5py.File(path, "w") as file:
        file["d"] = values
        if affine is not None:
            file["d"].attrs["affine"] = affine
    return path


def compared(folder: Path, a: np.ndarray, b: np.ndarray, **options: Any) -> Comparison:
    return compare(save(folder / "a.h5", a), save(folder / "b.h5", b), **options)


VALUES = st.floats(width=32, allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1.0])


@given(
    a=arrays(np.float32, (2, 2, 3), elements=VALUES),
    b=arrays(np.float32, (2, 2, 3), elements=VALUES),
    keep=arrays(bool, (2, 2, 3)),
    atol=st.sampled_from([0.0, 0.5]),
    rtol=st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=80, deadline=None)
def test_figures_are_numpys(
    a: np.ndarray, b: np.ndarray, keep: np.ndarray, atol: float, rtol: float, tmp_path_factory: Any
) -> None:
    b = np.where(keep, a, b)
    found = compared(tmp_path_factory.mktemp("c"), a, b, atol=atol, rtol=rtol)
    a, b = a.astype(np.float64), b.astype(np.float64)
    close = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    assert found.beyond == np.count_nonzero(~close)
    assert found.same == close.all()
    assert found.nan_mismatches == np.count_nonzero(np.isnan(a) ^ np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(a == b, 0, np.abs(a - b))
    numbers = apart[~np.isnan(apart)]
    assert found.max_abs == (numbers.max() if numbers.size else 0)
    if found.max_at is not None:
        assert apart[found.max_at[2:]] == found.max_abs
    finite = apart[np.isfinite(apart)]
    both_nan = np.count_nonzero(np.isnan(a) & np.isnan(b))
    if finite.size + both_nan:
        assert found.mean_abs == pytest.approx(finite.sum() / (finite.size + both_nan))
    json.dumps(found.to_json(), allow_nan=False)


def test_equal_volumes_in_different_formats(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    affine = np.diag([2.0, 2, 3, 1])
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "a.nii.gz")
    save(tmp_path / "b.h5", values.T, affine)
    result = compare(tmp_path / "a.nii.gz", tmp_path / "b.h5")
    assert result.same
    assert (result.max_abs, result.mean_abs, result.max_at) == (0, 0, None)
    assert result.shape_a == result.shape_b == (1, 1, 7, 6, 5)


def test_other_shapes(tmp_path: Path) -> None:
    result = compared(tmp_path, np.zeros((2, 3, 4)), np.zeros((2, 3, 5)))
    assert not result.same
    assert result.max_abs is None
    assert result.to_json()["shape_b"] == [1, 1, 2, 3, 5]
    assert result.to_json()["affine_distance_mm"] == "inf"
    assert not compared(tmp_path, np.zeros((2, 3, 4)), np.zeros((2, 2, 3, 4))).same


@pytest.mark.parametrize(("shift", "same"), [(0.9e-4, True), (1.1e-4, False)])
def test_affines(tmp_path: Path, shift: float, same: bool) -> None:
    affine = np.diag([1.0, 1, 1, 1])
    other = affine.copy()
    other[1, 3] = shift
    values = np.zeros((2, 3, 4))
    result = compare(save(tmp_path / "a.h5", values, affine), save(tmp_path / "b.h5", values, other))
    assert result.same is same
    assert result.affine_distance_mm == pytest.approx(shift)
    unknown = compare(tmp_path / "a.h5", save(tmp_path / "c.h5", values))
    assert not unknown.same
    assert unknown.to_json()["affine_distance_mm"] == "inf"


def test_integers_that_are_one_as_floats(tmp_path: Path) -> None:
    a = np.full((1, 2, 2), 2**62, np.int64)
    b = a.copy()
    b[0, 1, 1] += 1
    result = compared(tmp_path, a, b)
    assert not result.same
    assert (result.max_abs, result.max_at, result.beyond) == (1, (0, 0, 0, 1, 1), 1)
    assert compared(tmp_path, a, a.astype(np.uint64)).same
    assert not compared(tmp_path, np.full((1, 1, 2), -1, np.int64), np.full((1, 1, 2), 2**64 - 1, np.uint64)).same


def test_infinity_is_beyond_any_tolerance(tmp_path: Path) -> None:
    a = np.array([1.0, np.inf, -np.inf]).reshape(1, 1, 3)
    result = compared(tmp_path, a, np.array([np.inf, np.inf, np.inf]).reshape(1, 1, 3), rtol=1.0, atol=1e9)
    assert (result.same, result.beyond) == (False, 2)
    assert result.to_json()["max_abs"] == "inf"


def test_the_place_of_the_largest_difference(tmp_path: Path) -> None:
    a = np.zeros((2, 90, 100, 130), np.float32)
    b = a.copy()
    b[1, 80, 7, 11], b[0, 3, 3, 3] = 5, -2
    result = compared(tmp_path, a, b)
    assert (result.max_abs, result.max_at, result.beyond) == (5, (0, 1, 80, 7, 11), 2)
    assert result.mean_abs == pytest.approx(7 / a.size)


@pytest.mark.parametrize("options", [{"atol": -1}, {"rtol": float("nan")}, {"atol": float("inf")}])
def test_wrong_tolerances(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected a number from 0"):
        compared(tmp_path, np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), **options)
    with pytest.raises(MissingFileError):
        compare(tmp_path / "none.h5", tmp_path / "a.h5")

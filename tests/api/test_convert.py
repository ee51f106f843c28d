"""Conversion between formats: stored values untouched, geometry kept, nothing half-made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest

from volconv.api import streaming
from volconv.api.compare import compare
from volconv.api.convert import convert
from volconv.api.inspect_file import inspect
from volconv.errors import FormatError, MissingFileError, OutputError, UsageError
from volconv.formats.record import read_record

DATA = os.environ.get("VOLCONV_TEST_DATA")
AFFINE = np.array([[-1.5, 0.1, 0.2, 80], [0.1, 2.0, 0.3, -20], [0.2, -0.1, 3.0, 5], [0, 0, 0, 1]])


def save_nifti(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(values, affine, dtype=values.dtype), path)
    return path


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img", ".h5"])
@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back_is_bit_for_bit(tmp_path: Path, kind: str, suffix: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    shape = (5, 6, 7) if channels == 1 else (channels, 5, 6, 7)
    bits = rng.integers(0, 256, np.prod(shape) * np.dtype(kind).itemsize).astype(np.uint8)
    values = bits.view(kind).reshape(shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = values
        file["raw"].attrs["affine"] = AFFINE
    there = tmp_path / f"there{suffix}"
    summary = convert(tmp_path / "a.h5", there)
    assert summary["dtype"] == np.dtype(kind).name
    assert summary["clipped"] == 0
    convert(there, tmp_path / "back.h5")
    with h5py.File(tmp_path / "back.h5") as file:
        assert file["data"].dtype == kind
        assert file["data"][()].tobytes() == values.tobytes()
        np.testing.assert_allclose(file["data"].attrs["affine"], AFFINE, atol=1e-5)
    if suffix != ".h5":
        image = nib.load(there)
        np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(image.dataobj), values.T)
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.is_dir()) == []


@pytest.mark.parametrize("target", ["o.nii", "o.h5"])
def test_scaled_values_become_float32(tmp_path: Path, target: str) -> None:
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
    image.header.set_slope_inter(0.125, -3)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    assert convert(tmp_path / "a.nii", tmp_path / target)["dtype"] == "float32"
    expected = np.asarray(stored.dataobj).astype(np.float32)
    result = compare(tmp_path / "a.nii", tmp_path / target)
    assert result.same
    if target == "o.h5":
        with h5py.File(tmp_path / target) as file:
            np.testing.assert_array_equal(file["data"][()], expected.T)


def test_half_floats_become_single_in_nifti_only(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    assert convert(tmp_path / "a.h5", tmp_path / "o.nii", spacing=(1, 1, 1))["dtype"] == "float32"
    assert convert(tmp_path / "a.h5", tmp_path / "o.h5")["dtype"] == "float16"


def test_dtype_rounds_and_counts(tmp_path: Path) -> None:
    values = np.array([0.5, 1.5, -4, 300, np.nan, 7], np.float64).reshape(1, 2, 3)
    save_nifti(tmp_path / "a.nii", values)
    summary = convert(tmp_path / "a.nii", tmp_path / "o.h5", dtype="uint8")
    assert summary["clipped"] == 3
    assert summary["warnings"] == [f"{tmp_path / 'o.h5'}: 3 values do not fit uint8 and were clipped"]
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["data"][()].T.ravel().tolist() == [0, 2, 0, 255, 0, 7]
    with pytest.raises(UsageError, match="uint8"):
        convert(tmp_path / "a.nii", tmp_path / "p.h5", dtype="uint9")


def test_large_integers_never_pass_through_floats(tmp_path: Path) -> None:
    values = np.array([2**63 - 1, -(2**63), 2**53 + 1, 5], np.int64).reshape(1, 2, 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = values
    summary = convert(tmp_path / "a.h5", tmp_path / "o.h5", dtype="uint64")
    assert summary["clipped"] == 1
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["data"][()].ravel().tolist() == [2**63 - 1, 0, 2**53 + 1, 5]


def test_axes_spacing_and_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 2)).astype("u1")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = values
    convert(f"{tmp_path / 'a.h5'}:/raw", tmp_path / "o.nii.gz", axes="zyxc", spacing=(3, 2, 1), channels="vector")
    image = nib.load(tmp_path / "o.nii.gz")
    assert image.shape == (5, 4, 3, 1, 2)
    np.testing.assert_array_equal(image.header.get_zooms()[:3], [1, 2, 3])
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, :, 0], values.transpose(2, 1, 0, 3))
    convert(tmp_path / "a.h5", tmp_path / "s.nii", axes="zyxc", channels="split")
    assert sorted(p.name for p in tmp_path.glob("s_*")) == ["s_ch00.nii", "s_ch01.nii"]
    record = read_record(tmp_path / "o.nii.gz")
    assert record is not None
    assert record["options"] == {"axes": "zyxc", "spacing": [3, 2, 1], "channels": "vector", "dataset": "/raw"}


def test_the_record_of_the_source_travels_along(tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii", np.ones((2, 3, 4), np.int16))
    convert(tmp_path / "a.nii", tmp_path / "b.h5")
    convert(tmp_path / "b.h5", tmp_path / "c.nii")
    record = read_record(tmp_path / "c.nii")
    assert record is not None
    assert record["command"] == "convert"
    assert record["made_from"]["inputs"][0]["name"] == "a.nii"
    assert str(tmp_path) not in json.dumps(record)
    assert inspect(tmp_path / "c.nii", verify=True)["verified"]


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii", np.ones((20, 30, 40), np.int16))
    for name in ("b.h5", "c.h5", "b.nii.gz", "c.nii.gz"):
        convert(tmp_path / "a.nii", tmp_path / name)
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "c.h5").read_bytes()
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()


@pytest.mark.slow
def test_small_windows_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 99, (70, 80, 90)).astype(np.int16))
    convert(tmp_path / "a.nii.gz", tmp_path / "b.h5")
    whole = (tmp_path / "b.h5").read_bytes()
    for limit in (100, 5000, 50_000):
        monkeypatch.setattr(streaming, "WINDOW_BYTES", limit)
        convert(tmp_path / "a.nii.gz", tmp_path / "b.h5", force=True)
        assert (tmp_path / "b.h5").read_bytes() == whole


def test_faults(tmp_path: Path) -> None:
    source = save_nifti(tmp_path / "a.nii", np.ones((4, 5, 6), np.int16))
    before = source.read_bytes()
    with pytest.raises(MissingFileError):
        convert(tmp_path / "none.nii", tmp_path / "o.h5")
    with pytest.raises(UsageError, match="format"):
        convert(source, tmp_path / "o.png")
    with pytest.raises(OutputError):
        convert(source, source, force=True)
    (tmp_path / "link.nii").symlink_to(source)
    with pytest.raises(OutputError):
        convert(source, tmp_path / "link.nii", force=True)
    (tmp_path / "there.h5").write_text("mine")
    with pytest.raises(OutputError):
        convert(source, tmp_path / "there.h5")
    with pytest.raises(OutputError):
        convert(source, tmp_path / "none" / "o.h5")
    damaged = tmp_path / "d.nii.gz"
    save_nifti(damaged, np.ones((4, 5, 6), np.int16))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(FormatError):
        convert(damaged, tmp_path / "o.h5")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["raw"] = np.zeros((2, 3, 4, 5))
        file["raw"].attrs["axes"] = "tzyx"
    convert(tmp_path / "t.h5", tmp_path / "channels.h5")
    assert source.read_bytes() == before
    names = {"a.nii", "link.nii", "there.h5", "d.nii.gz", "t.h5", "channels.h5"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_source_damaged_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=np.ones((8, 8, 8)), chunks=(4, 8, 8), fletcher32=True)
        place = file["raw"].id.get_chunk_info_by_coord((4, 0, 0)).byte_offset
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[place] ^= 1
    (tmp_path / "a.h5").write_bytes(content)
    for target in ("o.h5", "o.nii", "o.nii.gz", "o.hdr"):
        with pytest.raises(FormatError, match=r"/raw\[4:8"):
            convert(tmp_path / "a.h5", tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.skipif(DATA is None, reason="VOLCONV_TEST_DATA is not set")
@pytest.mark.parametrize(
    "name", ["edge/shear.nii.gz", "edge/standard.nii.gz", "edge/anatomical.nii", "edge/example4d.nii.gz"]
)
def test_real_scans(tmp_path: Path, name: str) -> None:
    folder = Path(str(DATA)) / "volumes"
    found: Any = next(iter(sorted(folder.glob(name.split(".")[0] + ".nii*"))), None)
    if found is None:
        pytest.skip(f"{name} is not there")
    convert(found, tmp_path / "o.h5")
    result = compare(found, tmp_path / "o.h5", rtol=1e-6)
    assert result.same, result

"""Axes letters and affines of HDF5 datasets, against indexing done by hand."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from volconv.errors import FormatError, UsageError, VolconvError
from volconv.formats.hdf5_source import Hdf5Source
from volconv.region import Region

OBLIQUE = np.array([[0.9, -0.1, 0.2, -80], [0.1, 1.9, 0.3, 20], [-0.2, 0.2, 2.8, 5], [0, 0, 0, 1]])


def write(path: Path, values: np.ndarray, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("raw", data=values)
        for name, value in attributes.items():
            dataset.attrs[name] = value
    return path


def read_all(source: Hdf5Source, batch: int = 0) -> np.ndarray:
    source.load(None)
    out = np.full((source.info.channels, *source.info.shape), np.nan)
    source.read(Region.whole(source.info.shape), out, batch)
    return out


@pytest.mark.parametrize(
    "letters", ["".join(p) for p in permutations("czyx")] + ["".join(p) for p in permutations("xyz")]
)
@pytest.mark.parametrize("order", ["kji", "ijk"])
def test_every_order_of_letters(tmp_path: Path, letters: str, order: str) -> None:
    sizes = {"c": 2, "z": 3, "y": 4, "x": 5}
    values = np.random.default_rng(0).normal(size=[sizes[a] for a in letters])
    source = Hdf5Source(write(tmp_path / "a.h5", values, axes=letters, affine=OBLIQUE), order=order)
    inner = "zyx" if order == "kji" else "xyz"
    full = values if "c" in letters else values[None]
    full_letters = letters if "c" in letters else "c" + letters
    expected = np.einsum(
        full, [full_letters.index(a) for a in full_letters], [full_letters.index(a) for a in "c" + inner]
    )
    np.testing.assert_array_equal(read_all(source), expected)
    # A voxel's place in the world is the same, whatever the order of the array.
    at = {"x": 4, "y": 1, "z": 2}
    assert source.info.geometry.affine is not None
    here = source.info.geometry.affine @ [*(at[a] for a in inner), 1]
    np.testing.assert_allclose(here, OBLIQUE @ [at["x"], at["y"], at["z"], 1])
    source.close()


def test_defaults_are_zyx_and_czyx(tmp_path: Path) -> None:
    three = Hdf5Source(write(tmp_path / "3.h5", np.zeros((3, 4, 5), "u1")))
    assert (three.info.shape, three.info.channels) == ((3, 4, 5), 1)
    four = Hdf5Source(write(tmp_path / "4.h5", np.zeros((2, 3, 4, 5), "u1")))
    assert (four.info.shape, four.info.channels) == ((3, 4, 5), 2)
    with pytest.raises(FormatError, match=r"5 dimensions.*--axes"):
        Hdf5Source(write(tmp_path / "5.h5", np.zeros((2, 2, 3, 4, 5), "u1")))


@pytest.mark.parametrize(
    "word", ["zyxc", b"zyxc", ["z", "y", "x", "c"], np.bytes_("zyxc"), np.array(["z", "y", "x", "c"], "S1")]
)
def test_axes_attribute_of_any_text_kind(tmp_path: Path, word: Any) -> None:
    source = Hdf5Source(write(tmp_path / "a.h5", np.zeros((3, 4, 5, 2), "u1"), axes=word))
    assert (source.info.shape, source.info.channels) == ((3, 4, 5), 2)


def test_vigra_tags(tmp_path: Path) -> None:
    tags = json.dumps({"axes": [{"key": key, "typeFlags": 2, "resolution": 0, "description": ""} for key in "xyzc"]})
    source = Hdf5Source(write(tmp_path / "a.h5", np.zeros((5, 4, 3, 2), "u1"), axistags=tags))
    assert (source.info.shape, source.info.channels) == ((3, 4, 5), 2)


def test_the_file_says_more_than_the_command(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.zeros((3, 4, 5), "u1"), axes="zyx", affine=np.diag([3.0, 2, 1, 1]))
    source = Hdf5Source(path, axes="xyz", spacing_mm=(1.0, 2.0, 3.0))
    assert source.info.shape == (3, 4, 5)
    assert source.info.geometry.spacing_mm == (1, 2, 3)
    assert len(source.warnings) == 1
    assert "'zyx'" in source.warnings[0]
    with pytest.raises(UsageError, match="1, 2, 3 mm"):
        Hdf5Source(path, spacing_mm=(9, 9, 9))


@pytest.mark.parametrize(("order", "expected"), [("kji", [3.0, 2.0, 1.0]), ("ijk", [1.0, 2.0, 3.0])])
def test_spacing_of_files_that_do_not_say(tmp_path: Path, order: str, expected: list[float]) -> None:
    spacing = tuple(expected)
    source = Hdf5Source(write(tmp_path / "a.h5", np.zeros((3, 4, 5), "u1")), order=order, spacing_mm=spacing)  # type: ignore[arg-type]
    assert source.info.geometry.spacing_mm == spacing
    assert source.info.geometry.affine is not None
    # x is the first world axis, z the third: 1 mm, 2 mm, 3 mm either way.
    np.testing.assert_array_equal(np.abs(source.info.geometry.affine[:3, :3]).sum(axis=1), [1, 2, 3])


def test_two_dimensions_are_one_slice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", np.arange(20).reshape(4, 5))
    source = Hdf5Source(path, "/raw", axes="yx")
    assert source.info.shape == (1, 4, 5)
    np.testing.assert_array_equal(read_all(source), np.arange(20).reshape(1, 1, 4, 5))


def test_time_is_a_batch_or_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(6, 3, 4, 5))
    path = write(tmp_path / "a.h5", values, axes="tzyx")
    batch = Hdf5Source(path, channels=1)
    assert (batch.info.batch, batch.info.channels) == (6, 1)
    np.testing.assert_array_equal(read_all(batch, 4)[0], values[4])
    for wanted in (6, None):
        stacked = Hdf5Source(path, channels=wanted)
        assert (stacked.info.batch, stacked.info.channels) == (1, 6)
        np.testing.assert_array_equal(read_all(stacked), values)
    with pytest.raises(FormatError, match="axis t has length 6, expected 3 channels"):
        Hdf5Source(path, channels=3)


def test_time_and_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(2, 3, 4, 5, 6))
    both = Hdf5Source(write(tmp_path / "a.h5", values, axes="tzyxc"), channels=6)
    assert (both.info.batch, both.info.channels, both.info.shape) == (2, 6, (3, 4, 5))
    np.testing.assert_array_equal(read_all(both, 1), values[1].transpose(3, 0, 1, 2))
    one = Hdf5Source(write(tmp_path / "b.h5", values[:1], axes="tzyxc"), channels=6)
    assert (one.info.batch, one.info.channels) == (1, 6)
    np.testing.assert_array_equal(read_all(one), values[0].transpose(3, 0, 1, 2))


@pytest.mark.parametrize(
    ("letters", "error", "words"),
    [
        ("zyq", UsageError, "'q'"),
        ("zyy", UsageError, "twice"),
        ("zyc", UsageError, "x and y"),
        ("czyx", UsageError, "4 dimensions, the dataset has 3"),
        ("", UsageError, "x and y"),
        ("zy\nx", UsageError, "expected letters"),
    ],
)
def test_wrong_axes_on_the_command(tmp_path: Path, letters: str, error: type[VolconvError], words: str) -> None:
    with pytest.raises(error, match=words):
        Hdf5Source(write(tmp_path / "a.h5", np.zeros((3, 4, 5))), axes=letters)


@pytest.mark.parametrize("word", ["zyq", "zyxc", "zzz", 3, [1.0, 2.0], "", "x" * 70_000, "z y x"])
def test_wrong_axes_in_the_file(tmp_path: Path, word: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_dataset("raw", data=np.zeros((3, 4, 5))).attrs["axes"] = word
    with pytest.raises(FormatError, match="attribute 'axes'"):
        Hdf5Source(tmp_path / "a.h5")
    assert Hdf5Source(tmp_path / "a.h5", axes="zyx").info.shape == (3, 4, 5)


@pytest.mark.parametrize("tags", ["{", "[]", '{"axes": 3}', '{"axes": [{}]}', "[" * 5000])
def test_wrong_vigra_tags(tmp_path: Path, tags: str) -> None:
    with pytest.raises(FormatError, match="axistags"):
        Hdf5Source(write(tmp_path / "a.h5", np.zeros((3, 4, 5)), axistags=tags))


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.eye(3), "shape"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.diag([1, np.inf, 1, 1]), "NaN or infinity"),
        ("eye", "shape"),
        (np.eye(4).astype("S3"), "type"),
        (np.zeros((4, 4)), "last row"),
        (np.diag([1.0, 0, 1, 1]), "singular"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.diag([1, 1, 1, 2]), "last row"),
        (np.diag([1e200, 1, 1, 1]), "singular"),
        (np.eye(4, dtype=complex), "type"),
        (h5py.Empty("f8"), "shape"),
    ],
)
def test_wrong_affine(tmp_path: Path, affine: Any, words: str) -> None:
    with pytest.raises(FormatError, match=f"attribute 'affine'.*{words}"):
        Hdf5Source(write(tmp_path / "a.h5", np.zeros((3, 4, 5)), affine=affine))


@pytest.mark.parametrize("kind", ["f4", ">f8", "i4", "f2"])
def test_affine_of_any_number_type(tmp_path: Path, kind: str) -> None:
    source = Hdf5Source(write(tmp_path / "a.h5", np.zeros((3, 4, 5)), affine=np.diag([2, 3, 4, 1]).astype(kind)))
    assert source.info.geometry.spacing_mm == (4, 3, 2)

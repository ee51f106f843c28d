"""What `inspect` says about files of every kind, told by content; and `--verify`."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from safetensors.numpy import save_file

from volconv.api.convert import convert
from volconv.api.inspect_file import inspect
from volconv.errors import FormatError, MissingFileError, SpecError, UsageError, VolconvError

AFFINE = np.array([[0, 0, 2.0, 5], [-1, 0, 0, 6], [0, 3, 0, 7], [0, 0, 0, 1]])


def looked_at(name: Any, **options: Any) -> dict[str, Any]:
    """Inspect, and check that the report is JSON."""
    found = inspect(name, **options)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(100, 5, (4, 5, 6)).astype(np.float32)
    values[0, 0, :3] = [np.nan, np.inf, -np.inf]
    image = nib.Nifti1Image(values, AFFINE)
    image.header["descrip"] = b"Jane Doe"
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def test_a_nifti_volume(scan: Path) -> None:
    found = looked_at(scan)
    image = nib.load(scan)
    values = np.asarray(image.dataobj, np.float64)
    finite = values[np.isfinite(values)]
    assert found["kind"] == "volume"
    assert found["format"] == "NIfTI-1"
    assert found["shape"] == [1, 1, 6, 5, 4]
    assert found["spacing_mm"] == [2, 3, 1]
    assert found["orientation"] == "".join(nib.aff2axcodes(image.affine))
    np.testing.assert_allclose(found["affine_xyz"], AFFINE)
    assert (found["sform_code"], found["qform_code"]) == (2, 0)
    figures = found["statistics"]
    assert (figures["nan"], figures["inf"]) == (1, 2)
    assert figures["min"] == finite.min()
    assert figures["max"] == finite.max()
    assert figures["mean"] == pytest.approx(finite.mean(), rel=1e-12)
    assert figures["sd"] == pytest.approx(finite.std(), rel=1e-12)
    assert "record" not in found
    assert "Jane" not in json.dumps(found)


def test_statistics_over_many_windows_and_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(1e6, 1, (2, 60, 110, 120)).astype(np.float64)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = values
    found = looked_at(f"{tmp_path / 'a.h5'}:/raw")
    assert found["statistics"]["sd"] == pytest.approx(values.std(), rel=1e-9)
    assert found["statistics"]["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert [c["min"] for c in found["channel_statistics"]] == values.min(axis=(1, 2, 3)).tolist()
    assert found["orientation"] is None
    assert found["format"] == "HDF5"


def test_volumes_without_a_single_number(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = np.full((2, 2, 2), np.nan)
    figures = looked_at(f"{tmp_path / 'a.h5'}:/raw")["statistics"]
    assert figures == {"min": None, "max": None, "mean": None, "sd": None, "nan": 8, "inf": 0}


def test_an_hdf5_tree(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("g/raw", data=np.zeros((4, 4, 4), "i2"), chunks=(2, 4, 4), compression="gzip")
        file["g/raw"].attrs["patient"] = "Jane Doe"
        file["text"] = "words"
        file["out"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["soft"] = h5py.SoftLink("/g")
        file["type"] = np.dtype("f4")
        file["none"] = h5py.Empty("f4")
        file.create_dataset("e", (2, 2), "u1", external=[("/etc/passwd", 0, 4)])
    found = looked_at(tmp_path / "a.hdf5")
    assert found["kind"] == "hdf5"
    tree = {entry["name"]: entry for entry in found["tree"]}
    assert tree["/g/raw"] == {
        "name": "/g/raw",
        "type": "dataset",
        "attributes": ["patient"],
        "shape": [4, 4, 4],
        "dtype": "int16",
        "chunks": [2, 4, 4],
        "filters": ["deflate"],
    }
    assert tree["/out"]["type"] == "external link"
    assert tree["/soft"] == {"name": "/soft", "type": "soft link", "target": "/g"}
    assert tree["/type"]["type"] == "datatype"
    assert tree["/none"]["shape"] is None
    assert "shape" not in tree["/e"]
    assert tree["/text"]["dtype"] == "object"
    assert "Jane" not in json.dumps(found)


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "no_suffix"])
def test_weights(tmp_path: Path, name: str) -> None:
    tensors = {"conv.weight": np.ones((4, 1, 3, 3, 3), np.float32), "conv.bias": np.ones(4, np.float32)}
    if name == "w.npz":
        np.savez(tmp_path / name, **tensors)  # type: ignore[arg-type]
    else:
        save_file(tensors, tmp_path / name)
    found = looked_at(tmp_path / name)
    assert found["kind"] == "weights"
    assert {t["name"]: t["shape"] for t in found["tensors"]} == {"conv.weight": [4, 1, 3, 3, 3], "conv.bias": [4]}
    assert {t["dtype"] for t in found["tensors"]} == {"float32"}


SPEC = """volconv: 1
name: edges
parameters: {sigma: {default: 1.5, unit: mm}}
stages:
  - {op: Conv3d, name: smooth, padding: same, weight: {generator: gaussian, sigma: $sigma}}
"""


@pytest.mark.parametrize("name", ["s.yaml", "s.yml"])
def test_specs(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SPEC)
    found = looked_at(tmp_path / name)
    assert found["kind"] == "spec"
    assert found["name"] == "edges"
    assert found["stages"] == [{"name": "smooth", "op": "Conv3d"}]
    assert found["parameters"] == {"sigma": "1.5mm"}
    (tmp_path / name).write_text("volconv: 2\n")
    with pytest.raises(SpecError):
        inspect(tmp_path / name)


def test_a_preset() -> None:
    assert looked_at("gaussian")["kind"] == "spec"


def test_the_content_decides(tmp_path: Path, scan: Path) -> None:
    with h5py.File(tmp_path / "tree.dat", "w") as file:
        file["raw"] = np.zeros((2, 2, 2))
    assert looked_at(tmp_path / "tree.dat")["kind"] == "hdf5"
    nib.save(nib.load(scan), tmp_path / "plain.nii")
    shutil.copy(tmp_path / "plain.nii", tmp_path / "really.h5")
    with pytest.raises(FormatError, match="not an HDF5 file"):
        inspect(tmp_path / "really.h5")


@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.hdr", "a.h5", "a.yaml", "a.json", "a.npz", "a.safetensors", "a.txt", "a"]
)
@pytest.mark.parametrize("content", [b"", b"hello\n" * 40, bytes(3000), b"\x89PNG\r\n" + bytes(range(256)) * 9])
def test_anything_else_is_one_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolconvError) as caught:
        inspect(tmp_path / name)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for name in (tmp_path / "none.nii", tmp_path / "none", tmp_path):
        with pytest.raises(MissingFileError):
            inspect(name)


@pytest.mark.parametrize("target", ["o.h5", "o.nii", "o.nii.gz"])
def test_verify(tmp_path: Path, scan: Path, target: str) -> None:
    convert(scan, tmp_path / target)
    found = looked_at(tmp_path / target, verify=True)
    assert found["verified"] is True
    assert found["datasets"][0]["shape"] == [1, 1, 6, 5, 4]
    content = bytearray((tmp_path / target).read_bytes())
    if target != "o.nii":
        content[-60] ^= 4
        (tmp_path / target).write_bytes(content)
        with pytest.raises(FormatError):
            inspect(tmp_path / target, verify=True)
    (tmp_path / target).write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError):
        inspect(tmp_path / target, verify=True)


def test_verify_needs_a_record_that_makes_sense(tmp_path: Path, scan: Path) -> None:
    with pytest.raises(FormatError, match="no record"):
        inspect(scan, verify=True)
    (tmp_path / "s.yaml").write_text(SPEC)
    with pytest.raises(UsageError, match="spec"):
        inspect(tmp_path / "s.yaml", verify=True)
    good = {"format": 1, "volconv": "1", "inputs": [{"name": "a", "sha256": "0" * 64}], "weights": [], "options": {}}
    spec = {"name": "s", "text": "x", "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    bad = [
        {},
        good | {"format": 2},
        good | {"inputs": [{"name": "a"}]},
        good | {"spec": spec | {"text": "y"}},
        good | {"spec": None},
        good | {"spec": spec, "output": ["one", "two"]},
    ]
    for number, record in enumerate([good | {"spec": spec, "output": "data"}, *bad]):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["data"] = np.zeros((2, 3, 4))
            file.attrs["volconv"] = json.dumps(record)
        if number == 0:
            assert "text" not in looked_at(tmp_path / "0.h5", verify=True)["record"]["spec"]
            continue
        with pytest.raises(FormatError):
            inspect(tmp_path / f"{number}.h5", verify=True)


def test_a_folder_of_weights(tmp_path: Path) -> None:
    """Lucid's sharded form: an index and files beside it."""
    content = pickle.dumps({"_lucid_format": 2, "obj": {"a": np.ones((2, 3), np.float32)}}, 4)
    (tmp_path / "part.lucid").write_bytes(content)
    (tmp_path / "index.json").write_text('{"_lucid_sharded": 1, "shards": [{"file": "part.lucid", "keys": ["a"]}]}')
    found = inspect(tmp_path)
    assert (found["kind"], found["format"]) == ("weights", "Lucid (sharded)")
    assert found["bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert found["tensors"] == [{"name": "a", "shape": [2, 3], "dtype": "float32"}]


def test_refused_weights_say_why(tmp_path: Path) -> None:
    """A pickle that names a function is not run; the message says what it named."""
    (tmp_path / "model.pt").write_bytes(b"\x80\x02cposix\nmkdir\n(X\x01\0\0\0atR.")
    with pytest.raises(FormatError, match=r"posix\.mkdir.*Nothing in the file was run"):
        inspect(tmp_path / "model.pt")

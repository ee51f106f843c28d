"""`volconv inspect`."""

import json

import h5py
import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path):
    nib.save(nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4)), tmp_path / "scan.nii")
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["raw"] = np.zeros((4, 5, 6), np.float32)
    np.savez(tmp_path / "weights.npz", **{"a.weight": np.ones((2, 1, 3, 3, 3), np.float32)})
    (tmp_path / "spec.yaml").write_text("volconv: 1\nname: some\nstages: [{op: ReLU}]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [
        ("scan.nii", "volume", "int16"),
        ("scan.h5", "hdf5", "raw"),
        ("weights.npz", "weights", "a.weight"),
        ("spec.yaml", "spec", "some"),
    ],
)
def test_each_kind(volconv, folder, name, kind, word):
    result = volconv("inspect", name, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["kind"] == kind
    assert word in result.stdout
    assert word in volconv("inspect", name).stdout
    assert folder.exists()


def test_codes_of_headers_have_their_names_beside_them(volconv, folder):
    image = nib.Nifti1Image(np.zeros((5, 4, 3), np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    image.header["intent_code"] = 1002
    nib.save(image, folder / "labels.nii")
    lines = volconv("inspect", "labels.nii").stdout.splitlines()
    assert {"units: 10 (mm, sec)", "intent code: 1002 (label)", "sform code: 2 (aligned)"} <= set(lines)
    document = json.loads(volconv("inspect", "labels.nii", "--json").stdout)
    assert (document["units"], document["intent_code"], document["sform_code"]) == (10, 1002, 2)
    image.header.set_xyzt_units(0)
    image.header["intent_code"] = 999
    nib.save(image, folder / "labels.nii")
    lines = volconv("inspect", "labels.nii").stdout.splitlines()
    assert {"units: 0 (unknown)", "intent code: 999"} <= set(lines)


def test_faults(volconv, folder):
    (folder / "bad.nii").write_bytes(b"nothing of the kind")
    assert volconv("inspect", "none.nii").exit_code == 2
    result = volconv("inspect", "bad.nii")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1
    assert volconv("inspect", "--verify", "scan.nii").exit_code == 3


def test_verify(volconv, folder):
    assert volconv("run", "mean", "scan.nii", "-o", "out.nii").exit_code == 0
    assert volconv("inspect", "--verify", "out.nii").exit_code == 0
    assert folder.exists()

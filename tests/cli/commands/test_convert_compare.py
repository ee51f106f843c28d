"""`volconv convert` and `volconv compare`, one against the other."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def scan(tmp_path):
    rng = np.random.default_rng(2)
    affine = np.array([[0, 0, 2.0, 1], [1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]])
    image = nib.Nifti1Image(rng.integers(-99, 900, (7, 6, 5)).astype(np.int16), affine)
    nib.save(image, tmp_path / "scan.nii.gz")
    return image


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.h5", "a.hdr"])
def test_converted_is_the_same(volconv, scan, name):
    result = volconv("convert", "scan.nii.gz", name)
    assert result.exit_code == 0, result.stderr
    assert name in result.stderr
    result = volconv("compare", "scan.nii.gz", name)
    assert result.exit_code == 0, result.stdout
    if not name.endswith(".h5"):
        assert nib.load(name).get_data_dtype() == scan.get_data_dtype()


def test_options_reach_the_file(volconv, scan):
    assert volconv("convert", "scan.nii.gz", "b.nii", "--dtype", "float32").exit_code == 0
    assert nib.load("b.nii").get_data_dtype() == np.float32
    assert volconv("convert", "scan.nii.gz", "b.nii").exit_code == 2
    assert volconv("convert", "scan.nii.gz", "b.nii", "--force", "--json").exit_code == 0
    assert nib.load("b.nii").get_data_dtype() == scan.get_data_dtype()


def test_clipping_is_said(volconv, scan):
    clipped = int((np.asarray(scan.dataobj) > 127).sum())
    result = volconv("convert", "scan.nii.gz", "c.nii", "--dtype", "int8")
    said = f"c.nii: {clipped} values do not fit int8 and were clipped"
    assert result.stderr == f"volconv: note: {said}\nvolconv: wrote c.nii\n"
    result = volconv("convert", "scan.nii.gz", "c.nii", "--dtype", "int8", "--force", "--json")
    assert json.loads(result.stdout)["warnings"] == [said]
    assert volconv("convert", "scan.nii.gz", "d.nii", "--dtype", "int16").stderr == "volconv: wrote d.nii\n"


def test_a_difference_is_status_1(volconv, scan):
    values = np.asarray(scan.dataobj).astype(np.float32)
    values[0, 0, 0] += 1.5
    nib.save(nib.Nifti1Image(values, scan.affine), "other.nii")
    result = volconv("compare", "scan.nii.gz", "other.nii", "--json")
    assert result.exit_code == 1
    assert result.stderr == ""
    assert 1.5 in json.loads(result.stdout).values()
    assert volconv("compare", "scan.nii.gz", "other.nii").exit_code == 1
    assert volconv("compare", "scan.nii.gz", "other.nii", "--atol", "2").exit_code == 0


def test_axes_that_are_none(volconv, scan):
    assert scan.shape == (7, 6, 5)
    result = volconv("convert", "scan.nii.gz", "out.nii", "--axes", "qqq", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "usage.axes"


def test_missing_file(volconv, scan):
    assert scan.shape == (7, 6, 5)
    assert volconv("compare", "scan.nii.gz", "none.nii").exit_code == 2
    assert volconv("convert", "none.nii", "out.nii").exit_code == 2
    assert not Path("out.nii").exists()

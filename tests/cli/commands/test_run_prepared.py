"""`volconv run` and `plan` with a mask and steps beside the stages, from the shell's side."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def files(tmp_path):
    """A scan, a mask on its grid, one that is not, and a spec."""
    values = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    affine = np.diag([1.0, 2, 3, 1])
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "scan.nii")
    nib.save(nib.Nifti1Image((values > 50).astype(np.uint8), affine), tmp_path / "mask.nii")
    nib.save(nib.Nifti1Image((values > 50).astype(np.uint8), np.eye(4)), tmp_path / "far.nii")
    text = "volconv: 1\ninput:\n  intensity: [{minmax: [0, 1]}]\n  orientation: LPS\nstages: [{op: Identity}]\n"
    (tmp_path / "spec.yaml").write_text(text)
    return values


def test_a_mask_from_the_command_line(volconv, files, tmp_path):
    result = volconv("run", "spec.yaml", "scan.nii", "-o", "out.nii", "--mask", "mask.nii", "--json")
    assert result.exit_code == 0, result.stderr
    expected = np.where(files > 50, (files - 51) / np.float32(files.max() - 51), 0)
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii").get_fdata(), expected[::-1, ::-1], rtol=1e-6)
    assert [entry["name"] for entry in json.loads(result.stdout)["record"]["inputs"]] == ["scan.nii", "mask.nii"]
    result = volconv("plan", "spec.yaml", "scan.nii", "--mask", "mask.nii")
    assert "before   orientation LPS: H flipped, W flipped" in result.stdout
    assert "before   intensity minmax [0, 1] (1 pass for statistics)" in result.stdout
    assert "after    0 outside the mask" in result.stdout
    assert volconv("inspect", "out.nii", "--verify").exit_code == 0


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("mask", "code", "message"),
    [
        ("none.nii", 2, "volconv: none.nii: no such file"),
        ("far.nii", 3, "volconv: far.nii: found a mask whose voxels lie up to"),
        ("mask.txt", 2, "mask.txt"),
    ],
)
def test_masks_that_cannot_be(tmp_path, mask, code, message):
    words = ["run", "spec.yaml", "scan.nii", "-o", "out.nii", "--mask", mask]
    found = subprocess.run(
        [sys.executable, "-m", "volconv", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == code
    assert message in found.stderr
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "out.nii").exists()


@pytest.mark.usefixtures("files")
def test_a_fault_in_a_step_has_its_line(volconv, tmp_path):
    (tmp_path / "spec.yaml").write_text(
        "volconv: 1\ninput:\n  intensity:\n    - {zcore: {}}\nstages: [{op: Identity}]\n"
    )
    result = volconv("check", "spec.yaml")
    assert result.exit_code == 3
    assert result.stderr.startswith("volconv: spec.yaml: line 4, column 8: input.intensity[0].zcore: found the step")

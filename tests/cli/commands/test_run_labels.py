"""Label maps through the command line, on tiny files."""

import json

import nibabel as nib
import numpy as np
import pytest
import scipy.ndimage

SPEC = """volconv: 1
name: labels
stages:
  - {op: Threshold, threshold: 0.5}
  - {op: LargestComponent, connectivity: 6, name: largest}
  - {op: FillHoles}
  - {op: Remap, labels: {1: 7}}
"""


@pytest.fixture
def values(tmp_path):
    """A random scan, (x, y, z)."""
    values = np.random.default_rng(0).random((9, 8, 7)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.diag([1, 2, 3, 1])), tmp_path / "scan.nii.gz")
    (tmp_path / "labels.yaml").write_text(SPEC)
    return values


def expected(values):
    parts, _ = scipy.ndimage.label(values.transpose(2, 1, 0) > np.float32(0.5))
    largest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return largest.transpose(2, 1, 0), 7 * scipy.ndimage.binary_fill_holes(largest).transpose(2, 1, 0)


def test_labels_on_file(volconv, values):
    result = volconv("run", "labels.yaml", "scan.nii.gz", "-o", "out.nii.gz", "--save", "largest=l.nii", "--json")
    assert result.exit_code == 0, result.stderr
    assert [entry["dtype"] for entry in json.loads(result.stdout)["outputs"]] == ["uint8", "uint8"]
    image, (largest, filled) = nib.load("out.nii.gz"), expected(values)
    assert image.header.get_intent()[0] == "label"
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), filled)
    np.testing.assert_array_equal(np.asanyarray(nib.load("l.nii").dataobj), largest)
    again = volconv("run", "labels.yaml", "scan.nii.gz", "-o", "again.nii.gz", "--tile", "3,2,5", "--threads", "1")
    assert again.exit_code == 0, again.stderr
    assert nib.load("again.nii.gz").get_fdata().tobytes() == image.get_fdata().tobytes()
    verified = volconv("inspect", "out.nii.gz", "--verify")
    assert verified.exit_code == 0, verified.stderr


def test_plan_has_a_row_for_every_stage(volconv, values):
    result = volconv("plan", "labels.yaml", "scan.nii.gz")
    assert result.exit_code == 0, result.stderr
    rows = [line.split()[0] for line in result.stdout.splitlines()[1:5]]
    assert rows == ["Threshold", "largest", "FillHoles", "Remap"]
    assert result.stdout.count("whole, after the last tile") == 3
    assert volconv("check", "labels.yaml").exit_code == 0
    assert values.shape == (9, 8, 7)


@pytest.mark.parametrize(
    ("stage", "words", "code", "message"),
    [
        ("{op: LargestComponent}", "", 3, "line 3, column 5: stages[0]: stage 'LargestComponent'"),
        ("{op: Remap, labels: {a: 1}}", "", 3, "found 'a', expected a label: a whole number from 0 to 16777215"),
        ("{op: Threshold, threshold: 1}", "--output-type softmax", 2, "the output 'Threshold' of this spec is argmax"),
        ("{op: ReLU}", "--output-type argmax", 2, "'ReLU' has one channel, expected several to compare"),
        ("{op: ReLU}", "--output-type labels", 2, "'labels' is not one of"),
    ],
)
def test_what_is_refused(volconv, values, tmp_path, stage, words, code, message):
    (tmp_path / "spec.yaml").write_text(f"volconv: 1\nstages:\n  - {stage}\n")
    result = volconv("run", "spec.yaml", "scan.nii.gz", "-o", "out.nii", *words.split())
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.nii").exists()
    assert values.shape == (9, 8, 7)

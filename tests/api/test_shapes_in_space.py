"""Stages that cut, turn and widen a scan leave every voxel where it is in the world, in both of NIfTI's forms."""

import nibabel as nib
import numpy as np
import pytest

import volconv

SHAPE = (6, 7, 8)  # i, j, k


def tilted():
    """An affine of unequal spacings, turned about two axes."""
    a, b = 0.3, -0.2
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tip = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tip @ np.diag([1.5, 2.0, 3.0])
    affine[:3, 3] = -20, 10, 5
    return affine


@pytest.mark.parametrize(
    ("stages", "index"),
    [
        ([{"op": "Crop", "low": [1, 0, 2], "high": [0, 3, 1]}], lambda d, h, w: (d + 1, h, w + 2)),
        ([{"op": "Flip", "dims": [2, 4]}], lambda d, h, w: (7 - d, h, 5 - w)),
        ([{"op": "Flip", "dims": [3]}], lambda d, h, w: (d, 6 - h, w)),
        ([{"op": "Slice", "dim": [2, 3], "start": [1, 2], "step": [3, 2]}], lambda d, h, w: (1 + 3 * d, 2 + 2 * h, w)),
        ([{"op": "Pad", "padding": [1, 0, -2, 0, 3, 1]}], lambda d, h, w: (d - 3, h + 2, w - 1)),
        ([{"op": "Flip", "dims": [-1]}, {"op": "Crop", "low": 1}, {"op": "Flip", "dims": [-1]}],
         lambda d, h, w: (d + 1, h + 1, w)),
    ],
)  # fmt: skip
def test_values_stay_where_they_were(tmp_path, stages, index):
    affine = tilted()
    data = np.random.default_rng(0).standard_normal(SHAPE).astype("f4")
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, 2)
    image.set_qform(affine, 1)
    image.to_filename(tmp_path / "in.nii")
    (tmp_path / "s.json").write_text(str({"volconv": 1, "stages": stages}).replace("'", '"'))
    volconv.run(tmp_path / "s.json", tmp_path / "in.nii", tmp_path / "out.nii")
    found = nib.load(tmp_path / "out.nii")
    values = found.get_fdata()
    seen = 0
    for k, j, i in np.ndindex(values.shape[::-1]):
        d, h, w = index(k, j, i)
        if 0 <= d < 8 and 0 <= h < 7 and 0 <= w < 6:
            assert values[i, j, k] == data[w, h, d]
            for form in (found.get_sform(), found.get_qform()):
                np.testing.assert_allclose(form @ (i, j, k, 1), affine @ (w, h, d, 1), atol=1e-4)
            seen += 1
    assert seen > 20

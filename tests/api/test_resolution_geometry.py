"""Where results lie in space: a blob keeps its place in millimetres when its volume is pooled, resampled, shuffled."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass

import volconv

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.4) @ np.diag([-0.9, 1.1, 2.5]), [12.0, -30.0, 5.0]
)


@pytest.fixture
def scan(tmp_path):
    """A blob on an oblique, anisotropic grid, off centre."""
    i, j, k = np.indices((40, 36, 24))
    blob = 1000 * np.exp(-((i - 19.3) ** 2 / 18 + (j - 17.8) ** 2 / 18 + (k - 11.6) ** 2 / 6))
    image = nib.Nifti1Image(blob.astype("f4"), OBLIQUE)
    image.set_qform(OBLIQUE, code=1)
    image.set_sform(OBLIQUE, code=1)
    nib.save(image, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def blob_mm(path):
    image = nib.load(path)
    return nib.affines.apply_affine(image.affine, center_of_mass(image.get_fdata()))


STAGES = {
    "mean": [{"op": "AvgPool3d", "kernel_size": 2}],
    "mean of three": [{"op": "AvgPool3d", "kernel_size": 3, "stride": 2, "padding": 1}],
    "mean, one axis": [{"op": "AvgPool3d", "kernel_size": [1, 4, 1], "stride": [1, 2, 1], "padding": [0, 1, 0]}],
    "largest": [{"op": "MaxPool3d", "kernel_size": 3, "stride": 1, "padding": 1}],
    "mean of slices": [{"op": "AvgPool2d", "kernel_size": 3, "stride": 2, "ceil_mode": True}],
    "nearest": [{"op": "Upsample", "scale_factor": 2}],
    "nearest, exact": [{"op": "Upsample", "scale_factor": 3, "mode": "nearest-exact"}],
    "linear": [{"op": "Upsample", "scale_factor": [1.5, 2, 2.2], "mode": "trilinear"}],
    "linear, aligned": [{"op": "Upsample", "size": [31, 70, 55], "mode": "trilinear", "align_corners": True}],
    "linear, slices": [{"op": "Upsample", "scale_factor": 2, "mode": "bilinear"}],
    "down and up": [{"op": "AvgPool3d", "kernel_size": 2}, {"op": "Upsample", "scale_factor": 2, "mode": "trilinear"}],
}


@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
def test_the_blob_stays_where_it_is(stages, scan, tmp_path):
    spec, out = tmp_path / "spec.json", tmp_path / "out.nii.gz"
    spec.write_text(json.dumps({"volconv": 1, "stages": stages}))
    volconv.run(spec, scan, out)
    assert np.linalg.norm(blob_mm(out) - blob_mm(scan)) < 0.06
    spacing = nib.affines.voxel_sizes(nib.load(out).affine)
    extent = np.array(nib.load(out).shape) * spacing
    assert np.allclose(extent, np.array([40, 36, 24]) * [0.9, 1.1, 2.5], rtol=0.08)


def test_a_skip_across_pooling_and_upsampling_agrees_on_its_place():
    stages = [
        {"op": "MaxPool3d", "kernel_size": 2, "name": "down"},
        {"op": "Upsample", "scale_factor": 2, "name": "up"},
        {"op": "Add", "inputs": ["up", "input"], "name": "sum"},
    ]
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 8)).astype("f4")
    found = volconv.load({"volconv": 1, "stages": stages})(x)
    coarse = x.reshape(4, 2, 4, 2, 4, 2).max((1, 3, 5))
    np.testing.assert_array_equal(found[0], np.kron(coarse, np.ones((2, 2, 2), "f4")) + x[0])

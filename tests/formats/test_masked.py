"""Masks fit their scan, and results are 0 outside."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from volconv.errors import FormatError
from volconv.formats.in_memory import ArraySink, ArraySource
from volconv.formats.masked import MaskedSink, check_mask
from volconv.formats.nifti_source import NiftiSource
from volconv.region import Region
from volconv.volume import OutputInfo


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_outside_is_zero(dtype: str) -> None:
    values = np.random.default_rng(0).integers(1, 9, (2, 4, 5, 6)).astype(dtype)
    mask = np.random.default_rng(1).integers(-1, 2, (1, 4, 5, 6)).astype(np.float32)
    mask[0, 0, 0, 0] = np.nan
    own = ArraySink(OutputInfo((4, 5, 6), 2, np.dtype(dtype), ArraySource(values).info))
    sink = MaskedSink(own, ArraySource(mask))
    sink.create()
    for region in Region.whole((4, 5, 6)).split((3, 2, 6)):
        sink.write(region, values[:, *region.slices()])
    sink.finish()
    np.testing.assert_array_equal(own.array, np.where(mask > 0, values, 0))


def save(path, shape=(4, 5, 6), shift=0.0):
    affine = np.diag([1.0, 2, 3, 1])
    affine[0, 3] = shift
    nib.save(nib.Nifti1Image(np.ones(shape, np.float32), affine), path)
    return NiftiSource(path)


def test_a_mask_lies_on_the_scans_grid(tmp_path):
    scan = save(tmp_path / "scan.nii")
    check_mask(scan, save(tmp_path / "near.nii", shift=9e-4))
    check_mask(scan, ArraySource(np.ones((1, 6, 5, 4))))
    with pytest.raises(FormatError, match=r"far.nii: found a mask whose voxels lie up to 0.002 mm from .*scan.nii"):
        check_mask(scan, save(tmp_path / "far.nii", shift=2e-3))
    check_mask(scan, save(tmp_path / "far.nii", shift=2e-3), has_place=False)
    with pytest.raises(FormatError, match=r"found a mask of D,H,W = 6,5,3, expected .*scan.nii has 6,5,4") as caught:
        check_mask(scan, save(tmp_path / "other.nii", (3, 5, 6)))
    assert caught.value.exit_code == 3
    with pytest.raises(FormatError, match="found 2 volumes"):
        check_mask(scan, save(tmp_path / "two.nii", (4, 5, 6, 2)))

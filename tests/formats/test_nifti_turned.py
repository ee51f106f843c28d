"""Headers of swapped and flipped volumes: both forms place every voxel where it was."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from volconv.formats.nifti_source import NiftiSource
from volconv.formats.open import open_sink
from volconv.formats.orientation import find_turn
from volconv.formats.reoriented import turned_info
from volconv.region import Region
from volconv.volume import OutputInfo

QFORM = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.2, -0.1, 0.15) @ np.diag([-0.9, 1.1, 2.5]), [1.0, 2, 3])
SHEARED = QFORM + np.array([[0, 0.3, 0, 5], [0, 0, 0, 0], [0.2, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("axes", ["kji", "ijk"])
@pytest.mark.parametrize("code", ["RAS", "LIP", "SRA"])
@pytest.mark.parametrize(("qcode", "scode"), [(1, 3), (2, 0), (0, 1), (0, 0)])
def test_forms(tmp_path: Path, axes: str, code: str, qcode: int, scode: int) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), None)
    image.header.set_zooms((0.9, 1.1, 2.5))
    if qcode:
        image.set_qform(QFORM, qcode)
    if scode:
        image.set_sform(SHEARED, scode)
    nib.save(image, tmp_path / "v.nii")
    image = nib.load(tmp_path / "v.nii")
    scan = NiftiSource(tmp_path / "v.nii", order=axes)
    turn = find_turn(scan.info.geometry, code, axes, "v.nii")
    info = turned_info(scan.info, turn)
    sink = open_sink(tmp_path / "o.nii", OutputInfo(info.shape, 1, np.dtype("f4"), info), scratch=tmp_path / "s")
    sink.create()
    sink.write(Region.whole(info.shape), np.zeros((1, *info.shape), np.float32))
    sink.finish()
    out = nib.load(tmp_path / "o.nii")
    assert "".join(nib.aff2axcodes(out.affine)) == code
    corners = {
        name: {tuple(np.round(form @ [*corner, 1], 3)[:3]) for corner in np.ndindex(*shape)}
        for name, form, shape in (
            ("scan", image.affine, image.shape),
            ("out", out.affine, out.shape),
            ("q scan", image.get_qform(), image.shape),
            ("q out", out.get_qform(), out.shape),
        )
    }
    assert corners["out"] == corners["scan"]
    if qcode:
        assert corners["q out"] == corners["q scan"]
    assert int(out.header["qform_code"]) == qcode
    assert int(out.header["sform_code"]) == (scode if scode or qcode else 2)
    np.testing.assert_allclose(sorted(out.header.get_zooms()), sorted(image.header.get_zooms()), rtol=1e-6)

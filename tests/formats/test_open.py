"""Volumes opened by name; no library is imported before it is needed."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from volconv.errors import FormatError, MissingFileError, UsageError
from volconv.formats.open import open_sink, open_source
from volconv.region import Region
from volconv.testing.sink_contract import SinkContract


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz", "out.hdr", "out.img", "out.h5", "out.hdf5:/a/b"])
@pytest.mark.parametrize("order", ["kji", "ijk"])
def test_what_is_written_is_read(tmp_path, name, order):
    info = SinkContract.info(channels=2, order=order)
    values = SinkContract.values(info)
    sink = open_sink(str(tmp_path / name), info, scratch=tmp_path / "scratch")
    sink.create()
    sink.write(Region.whole(info.shape), values)
    sink.finish()
    source = open_source(tmp_path / name, order=order, channels=2)
    source.load(None)
    assert (source.info.shape, source.info.channels, source.info.dtype) == (info.shape, 2, info.dtype)
    np.testing.assert_allclose(source.info.geometry.affine, info.geometry.affine, atol=1e-6)
    out = np.zeros_like(values)
    source.read(Region.whole(info.shape), out)
    np.testing.assert_array_equal(out, values)
    source.close()


def test_options_that_make_no_sense(tmp_path):
    with pytest.raises(UsageError, match="order"):
        open_source("scan.nii", order="jik")
    for spacing in ((1, 0, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1), (1, float("inf"), 1)):
        with pytest.raises(UsageError, match="spacing"):
            open_source("scan.nii", spacing_mm=spacing)
    for axes in ("qqq", "zyy", "zy", ""):  # NIfTI says its own, but what makes no sense is a mistake all the same
        with pytest.raises(UsageError, match=f"axes '{axes}'") as caught:
            open_source("scan.nii", axes=axes)
        assert caught.value.code == "usage.axes"
    with pytest.raises(UsageError, match="layout"):
        open_sink("out.nii", SinkContract.info(), scratch=tmp_path, channels="5d")
    with pytest.raises(UsageError, match="dataset"):
        open_sink("out.nii", SinkContract.info(), scratch=tmp_path, dataset="/data")
    with pytest.raises(MissingFileError):
        open_source(tmp_path / "absent.nii")


def test_hdf5_under_a_nifti_name(tmp_path):
    (tmp_path / "scan.nii").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    with pytest.raises(FormatError, match=r"name it \.h5"):
        open_source(tmp_path / "scan.nii")


def test_no_library_before_it_is_needed(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "a.nii")
    code = (
        "import sys; from volconv.formats.open import open_source; "
        "open_source(sys.argv[1]); assert not {'nibabel', 'h5py'} & set(sys.modules)"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.nii")], check=True, cwd=root)

"""Which files a NIfTI name means."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from volconv.errors import FormatError
from volconv.formats.nifti_files import is_gzip, open_files, read_header, read_start


@pytest.fixture
def pair(tmp_path):
    nib.save(nib.Nifti1Pair(np.zeros((2, 3, 4), np.int16), np.eye(4)), tmp_path / "scan.hdr")
    return tmp_path


def opened(path):
    files = open_files(path)
    names = [file.path.name for file in files]
    for file in files:
        file.close()
    return names


def test_a_single_file_is_itself(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b"")
    assert opened(tmp_path / "scan.nii.gz") == ["scan.nii.gz"]


@pytest.mark.parametrize("named", [".hdr", ".img"])
def test_either_half_means_the_pair(pair, named):
    assert opened(pair / f"scan{named}") == ["scan.hdr", "scan.img"]


@pytest.mark.parametrize("named", [".HDR", ".IMG"])
def test_halves_in_capitals(pair, named):
    (pair / "scan.hdr").rename(pair / "scan.HDR")
    (pair / "scan.img").rename(pair / "scan.IMG")
    assert [name.upper() for name in opened(pair / f"scan{named}")] == ["SCAN.HDR", "SCAN.IMG"]


def test_a_half_prefers_its_like(pair):
    for half in ("hdr", "img"):
        (pair / f"scan.{half}.gz").write_bytes(gzip.compress((pair / f"scan.{half}").read_bytes()))
    assert opened(pair / "scan.hdr.gz") == ["scan.hdr.gz", "scan.img.gz"]
    assert opened(pair / "scan.img") == ["scan.hdr", "scan.img"]
    (pair / "scan.img").unlink()
    assert opened(pair / "scan.hdr") == ["scan.hdr", "scan.img.gz"]


def test_a_missing_half_is_named(pair):
    (pair / "scan.hdr").unlink()
    with pytest.raises(FormatError, match=r"header is missing: expected .*scan\.hdr"):
        open_files(pair / "scan.img")


@pytest.mark.parametrize("packed", [False, True])
def test_the_beginning_is_unpacked_where_need_be(tmp_path, packed):
    content = bytes(range(256)) * 3
    path = tmp_path / "scan.nii"
    path.write_bytes(gzip.compress(content[:300]) + gzip.compress(content[300:]) if packed else content)
    [file] = open_files(path)
    assert is_gzip(file) is packed
    assert read_start(file, 400) == content[:400]
    assert read_start(file, 10_000) == content
    file.close()


def test_a_pairs_header_alone_is_no_volume(pair):
    header, voxels = open_files(pair / "scan.hdr")
    assert read_header(header, single=False).dims == (2, 3, 4)
    with pytest.raises(FormatError, match="pair"):
        read_header(header, single=True)
    with pytest.raises(FormatError, match="not a NIfTI file"):
        read_header(voxels, single=False)

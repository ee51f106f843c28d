"""What a volume's name says."""

from pathlib import Path

import pytest

from volconv.errors import UsageError
from volconv.formats.names import VolumeName, parse_volume_name


@pytest.mark.parametrize(
    ("name", "path", "kind", "dataset", "suffix", "stem"),
    [
        ("scan.nii", "scan.nii", "nifti", None, ".nii", "scan"),
        ("a/b.c.nii.gz", "a/b.c.nii.gz", "nifti", None, ".nii.gz", "b.c"),
        ("SCAN.NII.GZ", "SCAN.NII.GZ", "nifti", None, ".nii.gz", "SCAN"),
        ("scan.hdr", "scan.hdr", "nifti", None, ".hdr", "scan"),
        ("scan.img.gz", "scan.img.gz", "nifti", None, ".img.gz", "scan"),
        ("scan.h5", "scan.h5", "hdf5", None, ".h5", "scan"),
        ("scan.HDF5", "scan.HDF5", "hdf5", None, ".hdf5", "scan"),
        ("scan.h5:/data", "scan.h5", "hdf5", "/data", ".h5", "scan"),
        ("scan.h5:group/raw", "scan.h5", "hdf5", "/group/raw", ".h5", "scan"),
        ("scan.h5:/a:b/", "scan.h5", "hdf5", "/a:b", ".h5", "scan"),
        ("12:30/scan.nii", "12:30/scan.nii", "nifti", None, ".nii", "scan"),
        ("12:30/scan.hdf5:/x", "12:30/scan.hdf5", "hdf5", "/x", ".hdf5", "scan"),
        ("scan.h5.nii", "scan.h5.nii", "nifti", None, ".nii", "scan.h5"),
    ],
)
def test_names(name, path, kind, dataset, suffix, stem):
    volume = parse_volume_name(name)
    assert volume == VolumeName(Path(path), kind, dataset)
    assert (volume.suffix, volume.stem) == (suffix, stem)


@pytest.mark.parametrize("name", ["scan", "scan.mgz", "scan.nii.bz2", "scan.gz", ".nii", ".nii.gz", "", "a/.h5", "scan.nii:/data"])  # fmt: skip  # noqa: E501
def test_names_that_say_no_format(name):
    with pytest.raises(UsageError, match=r"\.nii\.gz"):
        parse_volume_name(name)


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(UsageError, match=r": found a folder, expected a file of one of \.nii") as caught:
        parse_volume_name(tmp_path)
    assert caught.value.code == "usage.format"
    (tmp_path / "folder.nii").mkdir()
    assert parse_volume_name(tmp_path / "folder.nii").format == "nifti"


@pytest.mark.parametrize("name", ["scan.h5:", "scan.h5:/", "scan.h5://"])
def test_empty_datasets(name):
    with pytest.raises(UsageError, match="dataset"):
        parse_volume_name(name)


def test_nul():
    with pytest.raises(UsageError, match="NUL"):
        parse_volume_name("sc\0an.nii")

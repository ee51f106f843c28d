"""Nameless scratch files."""

import os
import stat

import pytest

from volconv.errors import RunError
from volconv.formats.scratch_file import ScratchFile


@pytest.mark.parametrize("nameless", [True, False])
def test_it_has_no_name_and_no_readers(tmp_path, monkeypatch, nameless):
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    file = ScratchFile(tmp_path, 1000, "scan.nii.gz")
    assert list(tmp_path.iterdir()) == []
    status = os.fstat(file.fd)
    assert (status.st_size, stat.S_IMODE(status.st_mode), status.st_nlink) == (1000, 0o600, 0)
    file.write(10, b"abc")
    out = bytearray(5)
    file.read_into(9, memoryview(out))
    assert out == b"\0abc\0"
    file.close()
    file.close()
    assert tmp_path.exists()


def test_a_folder_it_makes_goes_with_it(tmp_path):
    file = ScratchFile(tmp_path / "scratch", 10, "scan.nii.gz")
    assert stat.S_IMODE((tmp_path / "scratch").stat().st_mode) == 0o700
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_came_to_be_used_stays(tmp_path):
    file = ScratchFile(tmp_path / "scratch", 10, "scan.nii.gz")
    (tmp_path / "scratch" / "journal").write_bytes(b"")
    file.close()
    assert (tmp_path / "scratch" / "journal").exists()


@pytest.mark.parametrize("folder", ["missing/scratch", "file"])
def test_folders_that_cannot_be(tmp_path, folder):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="scratch folder"):
        ScratchFile(tmp_path / folder, 10, "scan.nii.gz")

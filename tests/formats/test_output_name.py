"""Names that can be written, and those that cannot."""

import os
from pathlib import Path

import pytest

from volconv.errors import OutputError
from volconv.formats.output_name import check_output


def test_a_free_name(tmp_path):
    assert check_output(tmp_path / "out.nii", [tmp_path / "in.nii"]) == tmp_path / "out.nii"
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="--force"):
        check_output(path)
    assert check_output(path, force=True) == path
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("how", ["itself", "symlink", "hardlink", "dots", "input is a link"])
def test_an_input_is_never_an_output(tmp_path, how, force):
    scan, out = tmp_path / "scan.nii", tmp_path / "out.nii"
    scan.write_bytes(b"a patient's only scan")
    inputs = [tmp_path / "absent", scan]
    if how == "itself":
        out = scan
    elif how == "symlink":
        out.symlink_to(scan)
    elif how == "hardlink":
        os.link(scan, out)
    elif how == "dots":
        (tmp_path / "folder").mkdir()
        out = tmp_path / "folder" / ".." / "scan.nii"
    else:
        (tmp_path / "link").symlink_to(scan)
        out, inputs = scan, [tmp_path / "link"]
    with pytest.raises(OutputError, match="input"):
        check_output(out, inputs, force)


def test_links(tmp_path):
    (tmp_path / "to nowhere").symlink_to("fresh")
    assert check_output(tmp_path / "to nowhere") == tmp_path / "fresh"
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for name in ("loop", "a"):
        with pytest.raises(OutputError, match="loop"):
            check_output(tmp_path / name)
    (tmp_path / "to a missing folder").symlink_to("missing/out")
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "to a missing folder")


@pytest.mark.parametrize("force", [False, True])
def test_folders_pipes_and_devices(tmp_path, force):
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path, force=force)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe"):
        check_output(tmp_path / "pipe", force=force)
    with pytest.raises(OutputError, match="device"):
        check_output(Path("/dev/null"), force=force)


@pytest.mark.parametrize("name", ["missing/out", "x" * 256, "ä" * 128, "x\0y", "y" * 5000, "file/out"])
def test_names_that_cannot_be(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError) as caught:
        check_output(tmp_path / name)
    assert str(caught.value).isprintable()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_longest_name(tmp_path):
    assert check_output(tmp_path / ("x" * 255)) == tmp_path / ("x" * 255)


def test_a_folder_that_cannot_be_written():
    folder = Path("/proc/self")
    with pytest.raises(OutputError, match="cannot be written"):
        check_output(folder / "out.nii")

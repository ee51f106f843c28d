"""Job folders: private, whole or counted for nothing, nothing of anybody else's touched."""

import json

import pytest

from volconv.errors import OutputError
from volconv.run.job_folder import JobFolder, count_finished, is_job_folder, read_document, remove_leftover
from volconv.run.journal import Journal


@pytest.fixture
def folder(tmp_path):
    return JobFolder(tmp_path / "out.nii.volconv")


def finish_a_tile(folder):
    journal = Journal(folder.journal)
    journal.append((0, 0, 0), [1])
    journal.close()
    (folder.path / "tiles-0-0-0").write_bytes(b"x")


def test_readable_by_its_owner_alone(folder):
    folder.write_document({"format": 1})
    finish_a_tile(folder)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    made = [path for path in folder.path.iterdir() if not path.name.startswith("tiles")]
    assert {path.name: path.stat().st_mode & 0o777 for path in made} == {
        "job.json": 0o600, "journal": 0o600
    }  # fmt: skip


def test_the_document_is_read_again(folder):
    assert read_document(folder.path) is None
    folder.write_document({"format": 1, "name": "é"})
    assert read_document(folder.path) == {"format": 1, "name": "é"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[" * 10**5, b"\xff"])
def test_a_damaged_document_is_none(folder, content):
    (folder.path / "job.json").write_bytes(content)
    assert read_document(folder.path) is None


def test_a_new_document_takes_the_place_of_everything(folder):
    folder.write_document({"format": 1})
    finish_a_tile(folder)
    folder.write_document({"format": 1})
    assert sorted(path.name for path in folder.path.iterdir()) == ["job.json"]


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("tiles", [0, 1])
def test_release(folder, finished, tiles):
    if tiles:
        finish_a_tile(folder)
    folder.release(finished)
    assert folder.path.exists() == (tiles and not finished)
    if tiles and not finished:
        assert count_finished(folder.path) == 1


def test_what_is_written_into_is_not_removed(folder):
    folder.busy = True
    folder.release(finished=True)
    assert folder.path.is_dir()


def test_foreign_files_stay(tmp_path):
    (tmp_path / "tiles-mine").write_text("precious")
    assert not is_job_folder(tmp_path)
    remove_leftover(tmp_path)
    folder = JobFolder(tmp_path)
    finish_a_tile(folder)
    folder.release(finished=True)
    assert [path.name for path in tmp_path.iterdir()] == ["tiles-mine"]


def test_the_folder_it_lies_in_comes_and_goes_with_it(tmp_path):
    folder = JobFolder(tmp_path / "scratch" / "job", within=True)
    assert folder.path.is_dir()
    folder.release(finished=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="cannot be made"):
        JobFolder(tmp_path / "scratch" / "job")


def test_a_file_of_that_name(tmp_path):
    (tmp_path / "job").write_text("")
    with pytest.raises(OutputError, match="is no folder"):
        JobFolder(tmp_path / "job")
    assert not is_job_folder(tmp_path / "job")
    assert json.dumps(read_document(tmp_path / "job")) == "null"

"""Several files at once: all appear or none, and a list says what is left when the process dies in between."""

import errno
import json
import os

import pytest

from volconv.errors import OutputError, RunError
from volconv.formats.atomic import make_part
from volconv.formats.commit import publish, publish_unit
from volconv.formats.commit_list import list_path, place, roll_forward

NAMES = ("a.nii", "b.hdr", "b.img")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a.nii.volconv"


def make_units(tmp_path, force=False):
    """Two outputs, the second of them a pair."""
    a, header, voxels = (make_part(tmp_path / name, b"new " + name.encode(), force) for name in NAMES)
    return [(a,), (voxels, header)]


def abort(units):
    for unit in units:
        for part in unit:
            part.abort()


def contents(tmp_path):
    return {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


WHOLE = {name: b"new " + name.encode() for name in NAMES}


def test_all_appear(tmp_path, folder):
    publish(make_units(tmp_path), folder)
    assert contents(tmp_path) == WHOLE
    assert list(folder.iterdir()) == []


def test_one_needs_no_list(tmp_path, folder):
    publish([(make_part(tmp_path / "a.nii", b"1", False),)], folder)
    assert not folder.exists()
    assert contents(tmp_path) == {"a.nii": b"1"}


def test_what_several_outputs_share_is_one_part(tmp_path, folder):
    part = make_part(tmp_path / "a.h5", b"1", False)
    publish([(part,), (part,)], folder)
    assert contents(tmp_path) == {"a.h5": b"1"}
    assert not folder.exists()


def test_the_list_stands_before_the_first_rename_and_names_everything(tmp_path, folder, monkeypatch):
    seen, link = [], os.link

    def see(part, target):
        seen.append(json.loads(list_path(folder).read_text()))
        link(part, target)

    monkeypatch.setattr(os, "link", see)
    units = make_units(tmp_path)
    publish(units, folder)
    assert len(seen) == 3
    assert seen[0]["format"] == 1
    assert seen[0]["outputs"] == [
        [{"part": p.path.name, "file": f"../{p.target.name}", "inode": p.inode, "force": False, "old": ""} for p in u]
        for u in units
    ]


@pytest.mark.parametrize("taken", NAMES)
def test_a_name_taken_before_stops_all(tmp_path, folder, taken):
    units = make_units(tmp_path)
    (tmp_path / taken).write_bytes(b"theirs")
    with pytest.raises(OutputError, match=f"{taken}: exists now"):
        publish(units, folder)
    abort(units)
    assert contents(tmp_path) == {taken: b"theirs"}
    assert not folder.exists()


@pytest.mark.parametrize("taken", NAMES)
def test_a_name_taken_meanwhile_takes_back_all(tmp_path, folder, monkeypatch, taken):
    units, link = make_units(tmp_path), os.link

    def take(part, target):
        if target.name == taken:
            target.write_bytes(b"theirs")
        link(part, target)

    monkeypatch.setattr(os, "link", take)
    with pytest.raises(OutputError, match=f"{taken}: exists now"):
        publish(units, folder)
    abort(units)
    assert contents(tmp_path) == {taken: b"theirs"}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_rename_that_fails_keeps_what_is_left_for_the_next_run(tmp_path, folder, monkeypatch, nth):
    units, link, calls = make_units(tmp_path), os.link, []

    def fail(part, target):
        calls.append(target)
        if len(calls) == nth:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        link(part, target)

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(RunError, match="the result is kept in"):
        publish(units, folder)
    abort(units)
    assert list_path(folder).exists()
    assert len([path for path in tmp_path.iterdir() if path.name.endswith(".part")]) == 4 - nth


def test_one_that_cannot_be_renamed_is_finished_by_the_next_run(tmp_path, folder, monkeypatch):
    part = make_part(tmp_path / "a.nii", b"new", False)

    def fail(_part, _target):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fail)
        with pytest.raises(RunError, match="the result is kept in"):
            publish([(part,)], folder)
    part.abort()
    assert "finished" in roll_forward(folder, lambda path: path == place(tmp_path / "a.nii"))
    assert contents(tmp_path) == {"a.nii": b"new"}


def test_an_interruption_between_renames_is_as_a_kill(tmp_path, folder, monkeypatch):
    units, link = make_units(tmp_path), os.link

    def interrupt(part, target):
        link(part, target)
        if target.name == "a.nii":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish(units, folder)
    abort(units)
    assert list_path(folder).exists()
    assert len([path for path in tmp_path.iterdir() if path.name.endswith(".part")]) == 3


def test_a_list_that_cannot_be_written_leaves_nothing(tmp_path, folder):
    folder.write_bytes(b"in the way")
    units = make_units(tmp_path)
    with pytest.raises(RunError, match="cannot be written there"):
        publish(units, folder)
    abort(units)
    assert contents(tmp_path) == {"a.nii.volconv": b"in the way"}


def test_an_old_header_goes_before_new_voxels_come(tmp_path, folder, monkeypatch):
    for name in NAMES:
        (tmp_path / name).write_bytes(b"old")
    units, steps = make_units(tmp_path, force=True), []
    for part in (part for unit in units for part in unit):
        old = part.publish

        def note(part=part, old=old):
            steps.append((part.target.name, (tmp_path / "b.hdr").exists()))
            old()

        monkeypatch.setattr(part, "publish", note)
    publish(units, folder)
    assert steps == [("a.nii", True), ("b.img", False), ("b.hdr", False)]
    assert contents(tmp_path) == WHOLE


def test_an_old_file_that_cannot_be_removed(tmp_path):
    (tmp_path / "b.hdr").mkdir()
    unit = make_units(tmp_path, force=True)[1]
    with pytest.raises(RunError, match="the old file cannot be removed"):
        publish_unit(unit)
    abort([unit])

"""The list of an interrupted run: carried out, or refused where it could not be a run's own."""

import json
import os
from pathlib import Path

import pytest

from volconv.errors import FormatError, OutputError, VolconvError
from volconv.formats.atomic import make_part
from volconv.formats.commit_list import Entry, identify, list_path, place, roll_forward, write_list

NAMES = ("a.nii", "b.img", "b.hdr")


def begin(tmp_path, force=False):
    """Write a list as a run does before its first rename; return its parts, and let go of them as a killed run does."""
    units = [
        [make_part(tmp_path / name, b"new " + name.encode(), force) for name in unit] for unit in (NAMES[:1], NAMES[1:])
    ]
    entries = [
        [Entry(p.path.name, p.target, p.inode, force, identify(p.target) if force else "") for p in unit]
        for unit in units
    ]
    write_list(entries, tmp_path / "a.nii.volconv")
    parts = [part for unit in units for part in unit]
    for part in parts:
        part.keep()
    return parts


def finish(tmp_path, names=NAMES):
    return roll_forward(tmp_path / "a.nii.volconv", lambda path: path in [place(tmp_path / name) for name in names])


def contents(tmp_path):
    return {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


WHOLE = {name: b"new " + name.encode() for name in NAMES}


@pytest.mark.parametrize("changed", NAMES)
@pytest.mark.parametrize("new", [True, False])
def test_a_file_made_since_is_not_replaced(tmp_path, changed, new):
    """A run with ``--force`` may replace what it found; not what somebody put there after it was killed."""
    if new:
        for name in NAMES:
            (tmp_path / name).write_bytes(b"old")
    begin(tmp_path, force=True)
    (tmp_path / changed).write_bytes(b"theirs, made since")
    assert "others have come in their place" in finish(tmp_path)
    assert contents(tmp_path)[changed] == b"theirs, made since"
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]


def test_nothing_to_do(tmp_path):
    assert finish(tmp_path) == ""


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("done", range(7))
def test_finished_from_wherever_it_was_cut_off(tmp_path, force, done):
    """The steps of a commit, up to the `done`-th; with `force` an old header goes before a pair's voxels come."""
    if force:
        for name in NAMES:
            (tmp_path / name).write_bytes(b"old")
    parts = begin(tmp_path, force)
    if force:
        steps = [lambda: parts[0].path.replace(parts[0].target), (tmp_path / "b.hdr").unlink]
        steps += [lambda part=part: part.path.replace(part.target) for part in parts[1:]]
    else:
        steps = [s for part in parts for s in (lambda part=part: os.link(part.path, part.target), part.path.unlink)]
    for step in steps[:done]:
        step()
    said = finish(tmp_path)
    assert "finished an interrupted run" in said
    assert contents(tmp_path) == WHOLE
    assert list((tmp_path / "a.nii.volconv").iterdir()) == []
    assert finish(tmp_path) == ""


def test_the_whole_tree_may_have_been_moved(tmp_path):
    (tmp_path / "here").mkdir()
    begin(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert finish(tmp_path / "there")
    assert contents(tmp_path / "there") == WHOLE


@pytest.mark.parametrize("how", ["part removed", "name taken", "part is a link"])
def test_what_cannot_be_finished_is_cleared_away(tmp_path, how):
    parts = begin(tmp_path)
    os.link(parts[0].path, parts[0].target)
    parts[0].path.unlink()
    (tmp_path / "precious").write_bytes(b"precious")
    kept = {"a.nii": WHOLE["a.nii"], "precious": b"precious"}
    if how == "name taken":
        parts[1].target.write_bytes(b"theirs")
        kept["b.img"] = b"theirs"
    else:
        parts[1].path.unlink()
    if how == "part is a link":
        parts[1].path.symlink_to(tmp_path / "precious")
        kept[parts[1].path.name] = b"precious"
    assert "cannot be finished" in finish(tmp_path)
    assert contents(tmp_path) == kept
    assert not list_path(tmp_path / "a.nii.volconv").exists()


def test_an_old_file_is_not_taken_for_a_new_one(tmp_path):
    """Its part was removed by hand: the old file under its name is no part of the set."""
    for name in NAMES:
        (tmp_path / name).write_bytes(b"old")
    parts = begin(tmp_path, force=True)
    parts[1].path.unlink()
    assert "cannot be finished" in finish(tmp_path)
    assert contents(tmp_path) == dict.fromkeys(NAMES, b"old")


def test_a_list_of_other_outputs_is_left_alone(tmp_path):
    begin(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"b\.img.* no output of this command"):
        finish(tmp_path, ["a.nii"])
    assert contents(tmp_path) == before
    assert list_path(tmp_path / "a.nii.volconv").exists()


def forge(tmp_path, document):
    folder = tmp_path / "a.nii.volconv"
    folder.mkdir()
    list_path(folder).write_text(document if isinstance(document, str) else json.dumps(document))


def entry(**values):
    return {"format": 1, "outputs": [[{"part": ".a.nii.01234567.part", "file": "../a.nii", "inode": 1, "force": True, "old": "", **values}]]}  # fmt: skip  # noqa: E501


FORGED = {
    "another file": entry(file="../../precious"),
    "an absolute path": entry(file="/etc/passwd"),
    "through a folder": entry(file="../x/../../precious"),
    "a part elsewhere": entry(part="../precious"),
    "an absolute part": entry(part="/etc/passwd"),
    "a part of another name": entry(part=".b.nii.01234567.part"),
    "a part of no name": entry(part="precious"),
    "a NUL": entry(file="../a.nii\0"),
    "a NUL in a part": entry(part=".a.nii.0123456\0.part"),
    "a number for a name": entry(file=3),
    "true for a number": entry(inode=True),
    "one key more": entry(more=1),
    "no outputs": {"format": 1},
    "an empty output": {"format": 1, "outputs": [[]]},
    "another version": {**entry(), "format": 2},
    "a list": [1],
    "no JSON": "{",
    "deep": "[" * 100_000,
    "long": " " * ((1 << 24) + 1),
}


@pytest.mark.parametrize("document", FORGED.values(), ids=FORGED.keys())
def test_a_forged_list_moves_nothing(tmp_path, document):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "precious", folder / "precious", folder / ".b.nii.01234567.part", folder / "a.nii"):
        path.write_bytes(b"precious")
    forge(folder, document)
    before = contents(tmp_path), contents(folder)
    with pytest.raises(VolconvError) as caught:
        finish(folder)
    assert caught.value.exit_code in (2, 3)
    assert str(caught.value).isprintable()
    assert (contents(tmp_path), contents(folder)) == before


def test_a_list_that_is_no_file(tmp_path):
    folder = tmp_path / "a.nii.volconv"
    folder.mkdir()
    os.mkfifo(list_path(folder))
    with pytest.raises(FormatError):
        finish(tmp_path)
    list_path(folder).unlink()
    list_path(folder).symlink_to(Path("/etc/passwd"))
    with pytest.raises(VolconvError, match="cannot be opened"):
        finish(tmp_path)

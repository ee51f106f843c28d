"""Whole runs: outputs that belong together appear together, and each is whole or absent whoever meddles meanwhile."""

import json
import os
import stat
import time

import nibabel as nib
import numpy as np
import pytest

import volconv
from volconv.api.convert import convert
from volconv.errors import FormatError, OutputError, RunError, UsageError
from volconv.run import events


class Killed(BaseException):
    """As good as a kill for what lies on the disk: nothing that follows is caught by an ``except Exception``."""


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(12, 10, 8)).astype("f4"), np.eye(4)), path)
    return path


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"volconv": 1, "stages": [{"op": "ReLU", "name": "a"}]}))
    return path


def on(kind, action):
    """Return a listener that acts once, at the first event of that kind."""
    done = []

    def listen(event):
        if isinstance(event, kind) and not done:
            done.append(event)
            action()

    return listen


def new_names(tmp_path):
    return sorted({path.name for path in tmp_path.iterdir()} - {"scan.nii", "spec.json"})


SETS = {
    "saved": ("out.nii.gz", {"save": {"a": "saved.nii"}}, ["out.nii.gz", "saved.nii"]),
    "pair": ("out.hdr", {}, ["out.hdr", "out.img"]),
    "sidecar": ("out.nii", {"sidecar": True}, ["out.json", "out.nii"]),
}


def cut_off(monkeypatch, nth):
    """Let the `nth` name that is given from now on be the last thing that happens."""
    given, real = [], {name: getattr(os, name) for name in ("link", "replace")}

    def wrap(name):
        def call(source, target, **options):
            real[name](source, target, **options)
            if ".volconv" not in str(target):
                given.append(target)
                if len(given) == nth:
                    raise Killed

        return call

    for name in real:
        monkeypatch.setattr(os, name, wrap(name))


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("force", [False, True])
def test_the_next_run_finishes_what_was_cut_off(tmp_path, scan, spec, kind, force, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, options, names = SETS[kind]
    if force:
        for name in names:
            (tmp_path / name).write_bytes(b"old")
    with monkeypatch.context() as patch:
        cut_off(patch, 1)
        with pytest.raises(Killed):
            volconv.run(spec, scan, out, force=force, **options)
    assert (tmp_path / f"{out}.volconv" / "commit.json").exists()
    warned = []
    with pytest.raises(OutputError, match="exists"):
        volconv.run(spec, scan, out, on_event=warned.append, **options)
    assert "finished an interrupted run" in warned[0].message
    assert new_names(tmp_path) == names
    first = {name: (tmp_path / name).read_bytes() for name in names}
    assert b"old" not in first.values()
    assert volconv.run(spec, scan, out, skip_existing=True, **options)["skipped"]
    volconv.run(spec, scan, out, force=True, **options)
    again = {name: (tmp_path / name).read_bytes() for name in names}
    assert {name: again[name] == first[name] for name in names if name != "out.json"} == dict.fromkeys(
        [name for name in names if name != "out.json"], True
    )
    assert new_names(tmp_path) == names


def test_cut_off_channels_are_finished_too(tmp_path, monkeypatch):
    source = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6, 3), np.uint8), np.eye(4)), source)
    names = [f"out_ch0{c}.nii" for c in range(3)]
    with monkeypatch.context() as patch:
        cut_off(patch, 2)
        with pytest.raises(Killed):
            convert(source, tmp_path / "out.nii", channels="split")
    with pytest.warns(UserWarning, match="finished an interrupted run"), pytest.raises(OutputError, match="exists"):
        convert(source, tmp_path / "out.nii", channels="split")
    assert new_names(tmp_path) == names
    for name in names:
        assert (nib.load(tmp_path / name).get_fdata() == 1).all()


def test_a_run_with_other_outputs_leaves_a_cut_off_set_alone(tmp_path, scan, spec, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, options, names = SETS["saved"]
    with monkeypatch.context() as patch:
        cut_off(patch, 1)
        with pytest.raises(Killed):
            volconv.run(spec, scan, out, **options)
    before = new_names(tmp_path)
    with pytest.raises(OutputError, match=r"saved\.nii.*no output of this command"):
        volconv.run(spec, scan, out, force=True)
    assert new_names(tmp_path) == before
    volconv.run(spec, scan, out, skip_existing=True, **options)
    assert new_names(tmp_path) == names


def test_a_damaged_list_is_named(tmp_path, scan, spec):
    folder = tmp_path / "out.nii.volconv"
    folder.mkdir()
    (folder / "commit.json").write_text("{")
    with pytest.raises(FormatError, match="remove the folder"):
        volconv.run(spec, scan, tmp_path / "out.nii")
    assert new_names(tmp_path) == ["out.nii.volconv"]


@pytest.mark.parametrize("out", ["out.nii", "out.nii.gz", "out.h5", "out.hdr"])
def test_a_file_that_appears_during_the_run_stays(tmp_path, scan, spec, out):
    theirs = tmp_path / out
    with pytest.raises(OutputError, match="exists now") as caught:
        volconv.run(spec, scan, theirs, on_event=on(events.TileDone, lambda: theirs.write_bytes(b"theirs")))
    assert caught.value.exit_code == 2
    assert theirs.read_bytes() == b"theirs"
    assert new_names(tmp_path) == [out]


@pytest.mark.parametrize("out", ["out.nii", "out.nii.gz", "out.h5", "out.hdr"])
@pytest.mark.parametrize("how", ["cut short", "written to", "replaced", "removed"])
def test_an_input_that_changes_during_the_run(tmp_path, scan, spec, out, how):
    def change():
        if how == "cut short":
            os.truncate(scan, 400)
        elif how == "written to":
            with scan.open("r+b") as file:
                file.seek(500)
                file.write(b"other")
        elif how == "replaced":
            (tmp_path / "new").write_bytes(scan.read_bytes())
            (tmp_path / "new").replace(scan)
        else:
            scan.unlink()

    with pytest.raises(RunError, match=r"scan\.nii") as caught:
        volconv.run(spec, scan, tmp_path / out, on_event=on(events.Started, change), tile=(2, 10, 12))
    assert caught.value.exit_code == 1
    assert new_names(tmp_path) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_second_run_to_the_same_output_is_refused(tmp_path, scan, spec, force):
    messages = []

    def second():
        for options in ({}, {"skip_existing": True}, {"scratch": tmp_path / "elsewhere"}):
            with pytest.raises(OutputError) as caught:
                volconv.run(spec, scan, tmp_path / "out.nii", force=force, **options)
            messages.append(str(caught.value))
        with pytest.raises(OutputError, match="being written by"):
            convert(scan, tmp_path / "out.nii", force=force)

    summary = volconv.run(spec, scan, tmp_path / "out.nii", force=force, on_event=on(events.TileDone, second))
    assert not summary["skipped"]
    assert len(messages) == 3
    assert all(f"out.nii: is being written by process {os.getpid()} on " in message for message in messages)
    assert new_names(tmp_path) == ["out.nii"]


def test_outputs_that_overlap_are_refused_by_their_parts(tmp_path, scan, spec):
    """Each output has a lock; by another name, a link's, its part shows that it is being written."""
    (tmp_path / "link.nii").symlink_to("saved.nii")

    def second():
        with pytest.raises(OutputError, match=r"saved\.nii: is being written by process \d+ on"):
            volconv.run(spec, scan, tmp_path / "saved.nii")
        with pytest.raises(OutputError, match=r"is being written by another process, into \.saved\.nii\."):
            volconv.run(spec, scan, tmp_path / "link.nii")
        with pytest.raises(OutputError, match="is being written by process"):
            volconv.run(spec, scan, tmp_path / "other.nii", save={"a": str(tmp_path / "saved.nii")})

    save = {"a": str(tmp_path / "saved.nii")}
    volconv.run(spec, scan, tmp_path / "out.nii", save=save, on_event=on(events.TileDone, second))
    assert new_names(tmp_path) == ["link.nii", "out.nii", "saved.nii"]


def test_a_run_that_keeps_its_tiles_keeps_its_outputs_to_itself(tmp_path, scan, spec):
    """Its parts are made at its end, so that its locks alone tell of them."""
    save = {"a": str(tmp_path / "saved.nii")}

    def second():
        with pytest.raises(OutputError, match=r"saved\.nii: is being written by process"):
            volconv.run(spec, scan, tmp_path / "saved.nii", force=True)

    volconv.run(spec, scan, tmp_path / "out.nii", save=save, resume=True, on_event=on(events.TileDone, second))
    assert new_names(tmp_path) == ["out.nii", "saved.nii"]


def test_the_scratch_folder_keeps_what_others_put_there(tmp_path, scan, spec):
    scratch = tmp_path / "fast"

    def put():
        (scratch / "theirs").write_bytes(b"theirs")

    volconv.run(spec, scan, tmp_path / "out.nii", scratch=scratch, on_event=on(events.TileDone, put))
    assert [path.name for path in scratch.iterdir()] == ["theirs"]
    volconv.run(spec, scan, tmp_path / "second.nii", scratch=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_one_file_by_two_names_is_no_place_for_two_outputs(tmp_path, scan, spec):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(".")
    for out, saved in (
        ("x.nii", "sub/../x.nii"),
        ("x.nii", "link/x.nii"),
        ("x.hdr", "x.img"),
        ("x.h5", "link/x.h5"),
    ):
        with pytest.raises(UsageError, match="two outputs have this name"):
            volconv.run(spec, scan, tmp_path / out, save={"a": f"{tmp_path}/{saved}"}, force=True)
    assert new_names(tmp_path) == ["link", "sub"]


def test_what_a_killed_run_left_goes_with_the_next_one(tmp_path, scan, spec):
    folder = tmp_path / "out.nii.volconv"
    folder.mkdir()
    (folder / "lock").write_text("{}")
    (folder / "00112233aabbccdd.scratch").write_bytes(b"half")
    (tmp_path / ".out.nii.01234567.part").write_bytes(b"half")
    (tmp_path / ".other.nii.01234567.part").write_bytes(b"another's")
    (tmp_path / "out.nii").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        volconv.run(spec, scan, tmp_path / "out.nii")
    assert new_names(tmp_path) == [".other.nii.01234567.part", "out.nii"]


def test_a_link_is_written_through(tmp_path, scan, spec):
    (tmp_path / "store").mkdir()
    (tmp_path / "out.nii").symlink_to("store/real.nii")
    volconv.run(spec, scan, tmp_path / "out.nii")
    assert (tmp_path / "out.nii").is_symlink()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["real.nii"]
    volconv.run(spec, scan, tmp_path / "out.nii", force=True)
    assert (tmp_path / "out.nii").is_symlink()
    assert new_names(tmp_path) == ["out.nii", "store"]


def test_an_output_is_as_old_as_its_commit_and_the_depfile_stands_before_it(tmp_path, scan, spec, monkeypatch):
    """Make compares times by the second: an input of the future aside, the output is the newest of all."""
    out, rule, link, seen = tmp_path / "out.nii", tmp_path / "out.d", os.link, []

    def see(part, target):
        seen.append((target, rule.exists()))
        link(part, target)

    monkeypatch.setattr(os, "link", see)
    times = []
    listen = on(events.TileDone, lambda: times.append(time.time_ns()))
    volconv.run(spec, scan, out, depfile=rule, on_event=listen)
    assert (out, True) in seen
    assert rule.read_text().startswith(f"{out}: ")
    # The clock of file times may be a few milliseconds behind.
    assert out.stat().st_mtime_ns > times[0] - 20_000_000
    assert out.stat().st_mtime_ns >= scan.stat().st_mtime_ns


def test_an_input_of_the_future_does_no_harm(tmp_path, scan, spec):
    os.utime(scan, (time.time() + 10_000, time.time() + 10_000))
    volconv.run(spec, scan, tmp_path / "out.nii")
    assert (tmp_path / "out.nii").stat().st_mtime < time.time() + 5
    assert volconv.run(spec, scan, tmp_path / "out.nii", skip_existing=True)["skipped"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask_at_the_end_only(tmp_path, scan, spec, umask):
    modes = []

    def look():
        for path in tmp_path.iterdir():
            if path.name.endswith((".part", ".volconv")):
                modes.append(stat.S_IMODE(path.stat().st_mode))

    before = os.umask(umask)
    try:
        volconv.run(spec, scan, tmp_path / "out.nii.gz", sidecar=True, on_event=on(events.TileDone, look))
    finally:
        os.umask(before)
    assert sorted(modes) == [0o600, 0o700]
    for name in ("out.nii.gz", "out.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("content", ["half", "foreign", "of another spec", "empty"])
def test_skip_existing_recomputes_nothing_less_than_whole_and_right(tmp_path, scan, spec, content):
    out = tmp_path / "out.nii"
    volconv.run(spec, scan, out)
    whole = out.read_bytes()
    if content == "half":
        out.write_bytes(whole[: len(whole) // 2])
    elif content == "foreign":
        nib.save(nib.Nifti1Image(np.zeros((12, 10, 8), np.float32), np.eye(4)), out)
    elif content == "empty":
        out.write_bytes(b"")
    else:
        spec.write_text(spec.read_text().replace("ReLU", "Identity"))
    before = out.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        volconv.run(spec, scan, out, skip_existing=True)
    assert out.read_bytes() == before
    assert not volconv.run(spec, scan, out, skip_existing=True, force=True)["skipped"]
    if content != "of another spec":
        assert out.read_bytes() == whole

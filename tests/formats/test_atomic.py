"""Part files: whole or absent, whatever fails or is killed in between."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from volconv.errors import BudgetError, OutputError, RunError
from volconv.formats.atomic import PartFile, remove_stale_parts, write_all


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, data=b"new", **options):
    part = PartFile(path, **options)
    write_all(part.fd, data, 0, "out")
    part.commit()


def test_nothing_shows_before_commit(tmp_path):
    part = PartFile(tmp_path / "out.nii")
    assert part.target == tmp_path / "out.nii"
    assert part.path.name.startswith(".out.nii.")
    assert part.path.name.endswith(".part")
    assert names(tmp_path) == [part.path.name]
    assert stat.S_IMODE(part.path.stat().st_mode) == 0o600
    write_all(part.fd, b"abc", 2, "out")
    part.commit()
    assert names(tmp_path) == ["out.nii"]
    assert (tmp_path / "out.nii").read_bytes() == b"\0\0abc"
    part.abort()
    assert names(tmp_path) == ["out.nii"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_final_mode_follows_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "out")
        assert os.umask(umask) == umask, "the umask is as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o666 & ~umask


def test_abort_removes_and_may_be_repeated(tmp_path):
    part = PartFile(tmp_path / "out")
    part.abort()
    part.abort()
    assert names(tmp_path) == []


def test_an_existing_file_is_replaced_only_by_force(tmp_path):
    (tmp_path / "out").write_bytes(b"old")
    part = PartFile(tmp_path / "out")
    with pytest.raises(OutputError, match="exists"):
        part.commit()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"old"
    write(tmp_path / "out", force=True)
    assert (tmp_path / "out").read_bytes() == b"new"


def test_a_link_is_followed_and_kept(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "out"
    link.symlink_to("elsewhere/real")
    write(link)
    assert link.is_symlink()
    assert names(tmp_path / "elsewhere") == ["real"]
    assert link.read_bytes() == b"new"
    write(link, b"newer", force=True)
    assert link.is_symlink()
    assert link.read_bytes() == b"newer"


@pytest.mark.parametrize("length", [200, 240, 241, 255])
@pytest.mark.parametrize("letter", ["a", "ä"])
def test_long_names(tmp_path, length, letter):
    name = letter * (length // len(letter.encode()))
    write(tmp_path / name)
    assert names(tmp_path) == [name]
    PartFile(tmp_path / name, force=True).abort()
    assert names(tmp_path) == [name]


def test_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b"scan\xff\n.nii")
    write(tmp_path / name)
    assert names(tmp_path) == [name]


def test_space_is_reserved(tmp_path):
    part = PartFile(tmp_path / "out", size=1 << 20)
    assert part.path.stat().st_size == 1 << 20
    assert part.path.stat().st_blocks * 512 >= 1 << 20
    part.abort()


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, BudgetError), (errno.EDQUOT, RunError), (errno.EFBIG, RunError)])  # fmt: skip  # noqa: E501
def test_space_that_is_not_there(tmp_path, monkeypatch, number, kind):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(kind, match="out"):
        PartFile(tmp_path / "out", size=100)
    assert names(tmp_path) == []


def test_file_systems_that_cannot_reserve(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    part = PartFile(tmp_path / "out", size=100)
    assert part.path.stat().st_size == 100
    part.abort()


@pytest.mark.parametrize("call", ["fchmod", "fsync"])
def test_a_disk_that_fails_before_the_rename(tmp_path, monkeypatch, call):
    (tmp_path / "out").write_bytes(b"old")
    part = PartFile(tmp_path / "out", force=True)

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(RunError, match="Input/output error"):
        part.commit()
    part.abort()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"old"


def test_a_rename_that_fails_keeps_the_part_and_names_it(tmp_path, monkeypatch):
    part = PartFile(tmp_path / "out")
    write_all(part.fd, b"result", 0, "out")

    def fail(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(RunError) as caught:
        part.commit()
    assert str(part.path) in str(caught.value)
    part.abort()
    assert part.path.read_bytes() == b"result"


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", fail)
    write(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    part = PartFile(tmp_path / "out")
    with pytest.raises(OutputError, match="exists"):
        part.commit()
    assert names(tmp_path) == ["out"]


def test_fsync_rename_fsync_of_the_folder_in_this_order(tmp_path, monkeypatch):
    events = []
    real = {name: getattr(os, name) for name in ("fsync", "link")}

    def fsync(fd):
        events.append("fsync folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file")
        real["fsync"](fd)

    def link(*args):
        events.append("name")
        real["link"](*args)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    write(tmp_path / "out")
    assert events == ["fsync file", "name", "fsync folder"]


def test_parts_of_living_processes_are_left_alone(tmp_path):
    first, second = PartFile(tmp_path / "out"), PartFile(tmp_path / "out")
    assert len(names(tmp_path)) == 2
    other = PartFile(tmp_path / "out.nii")
    assert len(names(tmp_path)) == 3
    for part in (first, second, other):
        part.abort()
    assert names(tmp_path) == []


def test_other_files_are_never_taken_for_parts(tmp_path):
    for name in (".out.part", ".out.notes.part", ".out.12345678", "out.12345678.part", ".outer.12345678.part"):
        (tmp_path / name).write_bytes(b"mine")
    before = names(tmp_path)
    remove_stale_parts(tmp_path / "out")
    assert names(tmp_path) == before


_WRITER = """
import sys
from pathlib import Path
from volconv.formats.atomic import PartFile
part = PartFile(Path(sys.argv[1]), size=1000)
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_part_of_a_killed_process_goes_with_the_next_one(tmp_path):
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "out")]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout.readline() == b"ready\n"
        assert len(names(tmp_path)) == 1
        write(tmp_path / "other")
        remove_stale_parts(tmp_path / "out")
        assert len(names(tmp_path)) == 2, "its process lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(names(tmp_path)) == 2
    write(tmp_path / "out")
    assert names(tmp_path) == ["other", "out"]


_LIMITED = """
import resource, sys
from pathlib import Path
from volconv.errors import VolconvError
from volconv.formats.atomic import PartFile, write_all
part = PartFile(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_all(part.fd, bytes(10000), 0, "out")
except VolconvError as error:
    part.abort()
    print(type(error).__name__, error)
"""


def test_a_limit_on_file_sizes(tmp_path):
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", _LIMITED, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.startswith("RunError out: cannot write")
    assert names(tmp_path) == []

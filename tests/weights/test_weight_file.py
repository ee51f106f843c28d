"""Opening by position, only regular files."""

import hashlib
import os
import socket

import pytest

from volconv.errors import MissingFileError, RunError, WeightsError
from volconv.weights.weight_file import WeightFile


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 20)
    file = WeightFile(tmp_path / "a")
    yield file
    file.close()


def test_reads_by_position(file):
    assert file.size == 5120
    assert file.head == bytes(range(256)) * 16
    assert file.read_at(255, 3) == b"\xff\x00\x01"
    assert file.read_at(5120, 0) == b""


@pytest.mark.parametrize(("offset", "count"), [(5119, 2), (-1, 2), (0, -1), (10**30, 1), (0, 10**30)])
def test_reading_outside_is_an_error(file, offset, count):
    with pytest.raises(WeightsError, match="cut short"):
        file.read_at(offset, count)


def test_digest(file):
    assert file.digest() == hashlib.sha256(bytes(range(256)) * 20).hexdigest()


def test_a_file_that_shrinks_is_an_error(file):
    os.truncate(file.path, 100)
    with pytest.raises(WeightsError, match="cut short"):
        file.read_at(0, 200)
    with pytest.raises(WeightsError, match="cut short"):
        file.digest()


@pytest.mark.parametrize("change", ["content", "length", "replaced"])
def test_a_file_that_changes_is_not_digested(file, change):
    """Only a new file under the name does no harm: what was opened is what is read and digested."""
    was = file.path.read_bytes()
    if change == "replaced":
        file.path.with_name("b").write_bytes(b"other")
        file.path.with_name("b").rename(file.path)
        assert file.digest() == hashlib.sha256(was).hexdigest()
        return
    with file.path.open("r+b") as stream:
        stream.seek(0, os.SEEK_END if change == "length" else os.SEEK_SET)
        stream.write(b"x")
    os.utime(file.path, ns=(1, 1))
    with pytest.raises(RunError, match="changed while they were read") as caught:
        file.digest()
    assert caught.value.code == "run.input_changed"


def test_close_twice(file):
    file.close()
    file.close()
    assert not file.is_open


def make_kinds(folder):
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # a socket's path is at most 108 characters
        server.bind("socket")
    (folder / "loop").symlink_to("loop")
    (folder / "file").touch()
    return {
        "missing": "no such file",
        "file/below": "no such file",
        ".": "a folder",
        "pipe": "a named pipe",
        "socket": "no such device",
        "loop": "symbolic links",
        "x" * 5000: "name too long",
        "a\0b": "a name no file can have",
    }


@pytest.mark.parametrize(("named_in_spec", "kind", "code"), [(False, MissingFileError, 2), (True, WeightsError, 3)])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, named_in_spec, kind, code):
    monkeypatch.chdir(tmp_path)
    for name, found in make_kinds(tmp_path).items():
        with pytest.raises(kind, match=found) as caught:
            WeightFile(tmp_path / name, named_in_spec)
        assert caught.value.exit_code == code
        assert str(caught.value).isprintable()


def test_devices_are_refused():
    with pytest.raises(MissingFileError, match="a device"):
        WeightFile("/dev/zero")


def test_a_link_is_followed(tmp_path, file):
    (tmp_path / "link").symlink_to("a")
    other = WeightFile(tmp_path / "link")
    assert other.identity == file.identity
    other.close()

"""Files that are read: one opening, one identity."""

import hashlib
import os
from pathlib import Path

import pytest

from volconv.errors import FormatError, MissingFileError, RunError
from volconv.formats.input_file import InputFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 20)
    return path


def test_reading_by_position(path):
    file = InputFile(path)
    assert file.size == 5120
    assert file.read(255, 3) == b"\xff\0\1"
    assert file.read(5119, 10) == b"\xff"
    assert file.read(9999, 10) == b""
    out = bytearray(4)
    file.read_into(2, memoryview(out))
    assert out == b"\2\3\4\5"
    with pytest.raises(RunError, match="shorter"):
        file.read_into(5118, memoryview(out))
    with pytest.raises(FormatError, match="beyond any file"):
        file.read(2**80, 1)
    digest = hashlib.sha256()
    file.update_digest(digest)
    assert digest.digest() == hashlib.sha256(path.read_bytes()).digest()
    file.close()
    file.close()


@pytest.mark.parametrize("name", ["missing", "folder", "pipe", "file/below", "x" * 300, "a\0b"])
def test_what_cannot_be_opened(tmp_path, path, name):
    assert path.exists()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MissingFileError) as caught:
        InputFile(tmp_path / name)
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()


def test_devices():
    with pytest.raises(MissingFileError, match="device"):
        InputFile(Path("/dev/zero"))


@pytest.mark.parametrize("change", ["append", "touch", "replace", "remove"])
def test_any_change_is_noticed(path, change):
    file = InputFile(path)
    file.check_unchanged()
    times = path.stat()
    if change == "append":
        with path.open("ab") as out:
            out.write(b"more")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "touch":
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    elif change == "replace":
        other = path.with_name("other")
        other.write_bytes(path.read_bytes())
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        other.replace(path)
    else:
        path.unlink()
    with pytest.raises(RunError):
        file.check_unchanged()
    file.close()

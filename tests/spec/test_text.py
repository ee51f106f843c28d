"""Files into text: encodings, sizes, and names that are no spec files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from volconv.errors import MissingFileError, SpecError
from volconv.spec.text import MAX_BYTES, decode, parse_tree, position, read_text


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "s.yaml"
    path.write_bytes(content)
    return path


def test_text_is_kept_as_it_is(tmp_path):
    content = "a: é\r\n# über\n".encode()
    assert read_text(_write(tmp_path, content)).encode() == content


def test_a_byte_order_mark_is_not_part_of_the_first_key():
    assert list(parse_tree("\ufeffa: 1", "f.yaml").value) == ["a"]
    assert list(parse_tree('\ufeff{"a": 1}', "f.json").value) == ["a"]


@pytest.mark.parametrize(
    ("content", "where", "found"),
    [
        (b"a: 1\nb: \xe9x", "line 2, column 4", "the byte 0xe9"),
        ("ää".encode() + b"\xff", "line 1, column 3", "the byte 0xff"),
        (b"a: \xc0\xaf", "line 1, column 4", "0xc0"),
        (b"a: \xed\xa0\x80", "line 1, column 4", "0xed"),
        ("a: 1".encode("utf-16"), "line 1, column 1", "UTF-16"),
        ("a: 1".encode("utf-16-be"), "line 1, column 1", "UTF-16"),
        (b"a: 1\nb: \x00", "line 2, column 4", "the character \\x00"),
        (b"a: \x1b[31m", "line 1, column 4", "the character \\x1b"),
        ("a: \x85".encode(), "line 1, column 4", "the character \\x85"),
        ("a: \u2028".encode(), "line 1, column 4", "the character \\u2028"),
        ("a: \uffff".encode(), "line 1, column 4", "the character \\uffff"),
    ],
)
@pytest.mark.parametrize("name", ["s.yaml", "s.json"])
def test_no_text_in_utf8(content, where, found, name):
    with pytest.raises(SpecError) as caught:
        parse_tree(decode(content, name), name)
    assert str(caught.value).startswith(f"{name}: {where}: found ")
    assert found in str(caught.value)
    assert str(caught.value).isprintable()


def test_size_limit(tmp_path):
    assert len(read_text(_write(tmp_path, b"#" * MAX_BYTES))) == MAX_BYTES
    with pytest.raises(SpecError, match="more than 1048576 bytes"):
        read_text(_write(tmp_path, b"#" * (MAX_BYTES + 1)))
    with pytest.raises(SpecError, match="more than 1048576 characters"):
        parse_tree("#" * (MAX_BYTES + 1), "f.yaml")


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    names = [
        "missing.yaml",
        "fifo.yaml",
        "folder.yaml",
        "dangling.yaml",
        "loop.yaml",
        "n" * 5000 + ".yaml",
        "nul\0.yaml",
    ]
    for name in names:
        with pytest.raises(MissingFileError, match="expected a spec file") as caught:
            read_text(tmp_path / name)
        assert caught.value.exit_code == 2
    with pytest.raises(MissingFileError, match="no regular file"):
        read_text(Path("/dev/zero"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable(tmp_path):
    path = _write(tmp_path, b"a: 1")
    path.chmod(stat.S_IWUSR)
    with pytest.raises(MissingFileError, match="Permission denied"):
        read_text(path)


def test_position():
    assert position("ab\ncd", 4) == (2, 2)
    assert position("", 0) == (1, 1)

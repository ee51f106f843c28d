"""Paths in specs stay inside the spec's folder, whatever they are made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from volconv.errors import SpecError
from volconv.spec.paths import check_path, resolve_inside
from volconv.values import Place

PLACE = Place("s.yaml", 3, 5, "weights.file")


@pytest.fixture
def folder(tmp_path):
    inner = tmp_path / "spec"
    (inner / "sub").mkdir(parents=True)
    (inner / "w.npz").write_bytes(b"secret")
    (inner / "sub" / "v.npz").write_bytes(b"")
    (tmp_path / "outside.npz").write_bytes(b"secret")
    (tmp_path / "spec-2").mkdir()
    (tmp_path / "spec-2" / "w.npz").write_bytes(b"")
    return inner


@pytest.mark.parametrize("text", ["w.npz", "./w.npz", "sub/v.npz", "sub/../w.npz", "sub//v.npz"])
def test_inside(folder, text):
    path = resolve_inside(folder, text, PLACE)
    assert path.is_file()
    assert path == (folder / text).resolve()


def test_a_relative_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert resolve_inside(Path("spec"), "w.npz", PLACE) == folder / "w.npz"
    monkeypatch.chdir(folder)
    assert resolve_inside(Path(), "w.npz", PLACE) == folder / "w.npz"


def test_links_inside_are_fine(folder):
    (folder / "link.npz").symlink_to("sub/v.npz")
    (folder / "also").symlink_to("sub")
    assert resolve_inside(folder, "link.npz", PLACE) == folder / "sub" / "v.npz"
    assert resolve_inside(folder, "also/v.npz", PLACE) == folder / "sub" / "v.npz"


def test_a_folder_that_is_a_link(folder, tmp_path):
    (tmp_path / "alias").symlink_to("spec")
    assert resolve_inside(tmp_path / "alias", "w.npz", PLACE) == folder / "w.npz"


@pytest.mark.parametrize(
    "text",
    [
        *["", "/etc/passwd", "../outside.npz", "sub/../../outside.npz", "..", "../spec-2/w.npz", "~/w.npz"],
        *["http://host/w.npz", "file:///etc/passwd", "s3://bucket/w", "w\0.npz", "w\n.npz", "\x1b[31mw", "x" * 5000],
        *["..\\outside.npz", "C:\\w.npz", "//host/w.npz", "sub/./../../outside.npz"],
    ],
)
def test_refused_without_a_look_at_the_disk(text):
    with pytest.raises(SpecError) as caught:
        check_path(text, PLACE)
    assert str(caught.value).startswith("s.yaml: line 3, column 5: weights.file: found ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_links_out_of_the_folder(folder):
    (folder / "out.npz").symlink_to("../outside.npz")
    (folder / "up").symlink_to("..")
    (folder / "root").symlink_to("/")
    for text in ("out.npz", "up/outside.npz", "root/etc/passwd", "up/spec-2/w.npz"):
        with pytest.raises(SpecError, match="leads out of the spec's folder") as caught:
            resolve_inside(folder, text, PLACE)
        assert "secret" not in str(caught.value)


def test_no_regular_files(folder):
    os.mkfifo(folder / "fifo.npz")
    (folder / "dangling.npz").symlink_to("nowhere")
    (folder / "loop.npz").symlink_to("loop.npz")
    for text in ("fifo.npz", "sub", ".", "dangling.npz", "loop.npz", "missing.npz", "w.npz/x", "y" * 300):
        with pytest.raises(SpecError, match="expected a file in the spec's folder"):
            resolve_inside(folder, text, PLACE)


def test_without_a_folder():
    with pytest.raises(SpecError, match="lies in no folder"):
        resolve_inside(None, "w.npz", PLACE)


def test_a_folder_that_is_gone(tmp_path):
    with pytest.raises(SpecError, match="cannot be opened"):
        resolve_inside(tmp_path / "gone", "w.npz", PLACE)

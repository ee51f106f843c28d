"""`volconv presets`."""

import json
from pathlib import Path

import pytest

SHIPPED = {
    *("gaussian", "log", "laplacian", "gradient", "sobel", "unsharp"),
    *("mean", "dog", "gabor", "laws", "downsample", "upsample"),
}


@pytest.mark.parametrize("words", [["presets"], ["presets", "list"]])
def test_list(volconv, words):
    result = volconv(*words)
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert set(names) >= SHIPPED
    assert "sigma=2mm" in result.stdout


def test_list_as_json(volconv):
    entries = {entry["name"]: entry for entry in json.loads(volconv("presets", "list", "--json").stdout)}
    assert entries["gaussian"]["parameters"][0]["name"] == "sigma"
    assert all(entry["description"] and "\n" not in entry["description"] for entry in entries.values())


def test_show_is_the_text(volconv):
    text = volconv("presets", "show", "gaussian").stdout
    assert text.startswith("# ")
    assert "volconv: 1" in text


@pytest.mark.parametrize("words", [["show", "gausian"], ["copy", "gausian", "x.yaml"]])
def test_unknown_name(volconv, words):
    result = volconv("presets", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'gaussian'" in result.stderr
    assert not Path("x.yaml").exists()


def test_a_copy_runs(volconv):
    assert volconv("presets", "copy", "gaussian", "mine.yaml").exit_code == 0
    assert Path("mine.yaml").read_text() == volconv("presets", "show", "gaussian").stdout
    assert volconv("check", "mine.yaml").exit_code == 0


def test_copy_into_a_folder(volconv):
    Path("specs").mkdir()
    assert volconv("presets", "copy", "mean", "specs").exit_code == 0
    assert Path("specs/mean.yaml").exists()


def test_copy_overwrites_only_when_told(volconv):
    Path("mine.yaml").write_text("precious")
    result = volconv("presets", "copy", "gaussian", "mine.yaml")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert Path("mine.yaml").read_text() == "precious"
    assert volconv("presets", "copy", "gaussian", "mine.yaml", "--force").exit_code == 0
    assert Path("mine.yaml").read_text() != "precious"


def test_copy_to_a_place_that_is_not_there(volconv):
    assert volconv("presets", "copy", "gaussian", "none/mine.yaml").exit_code == 2

"""`volconv bench`."""

import json
from pathlib import Path

import pytest


def test_one_row(volconv):
    result = volconv("bench", "--rows", "gaussian-9", "--rounds", 1, "--threads", 1, "-o", "page.md")
    assert result.exit_code == 0, result.stderr
    assert "Gaussian 9³ 128³" in result.stdout
    assert "peak" in result.stdout
    assert "× best rival" not in result.stdout
    assert result.stderr == "volconv: timing Gaussian 9³ 128³\n"
    assert Path("page.md").read_text(encoding="utf-8").startswith("<!-- Written by")


def test_json(volconv):
    result = volconv("bench", "--rows", "gaussian-9", "--rounds", 1, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["peak_gflops"] > 0
    assert document["copy_gb_per_s"] > 0
    (row,) = document["rows"]
    assert row["right"]
    assert row["plain_ms"] > 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--rows", "gausian-9"), "volconv: found row 'gausian-9', expected one of 32-32, 64-64"),
        (("--rows", ""), "volconv: found row '', expected one of"),
        (("--rounds", "0"), "--rounds"),
        (("--threads", "0"), "--threads"),
        (("--rows", "gaussian-9", "-o", "missing/page.md"), "missing"),
        (("--rows", "gaussian-9", "--lock", "missing/lock"), "volconv: missing/lock: cannot be locked: No such file"),
    ],
)
def test_errors(volconv, words, text):
    result = volconv("bench", *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert text in result.stderr


def test_a_page_that_exists_stays(volconv):
    Path("page.md").write_text("mine")
    result = volconv("bench", "--rows", "gaussian-9", "-o", "page.md")
    assert result.exit_code == 2
    assert Path("page.md").read_text() == "mine"

"""The page and the table: every number where it belongs, gaps as dashes."""

import pytest

from volconv.api.bench.page import PREPARED, check_page, format_page, prepared_cells, write_page
from volconv.errors import OutputError


def rival(title, ms, times, dense=True, error=1e-7):
    return {"title": title, "dense": dense, "version": "1", "ms": ms, "times_ours": times, "rounds": 5, "error": error}


@pytest.fixture
def row():
    return {
        "row": "a",
        "title": "a layer",
        "kind": "layer",
        "kernels": ["direct", "winograd"],
        "rounds": 5,
        "ms": 123.4,
        "gflops": 456.7,
        "of_peak": 1.234,
        "peak_gflops": 370.0,
        "gb_per_s": 3.0,
        "of_copy": None,
        "copy_gb_per_s": None,
        "one_to_all_threads": 1.9,
        "error": 3e-7,
        "plain_ms": 200.0,
        "plain_error": 3e-7,
        "targets": {"rival": 1.5, "dense": None, "peak": 0.8, "copy": None},
        "rivals": {
            "reused": {"x": rival("X", 300.0, 2.43), "y": rival("Y", 250.0, 2.02), "z": {"title": "Z", "failed": "no"}},
            "plain": {"x": rival("X", 500.0, 2.5)},
        },
        "right": True,
    }


@pytest.fixture
def document(row):
    return {
        "machine": {"processor": "P", "cores": 2, "vector_bits": 512, "memory_gb": 25.3, "system": "Linux x86_64"},
        "versions": {"volconv": "1.2", "torch": "2"},
        "date": "2026-01-02",
        "threads": 2,
        "peak_gflops": 370.0,
        "copy_gb_per_s": None,
        "rows": [row],
    }


def test_cells(row):
    cells = dict(zip(PREPARED, prepared_cells(row), strict=True))
    assert cells == {
        "row": "a layer",
        "ms": "123",
        "GF/s": "457",
        "× peak": "1.23",
        "of copy": "–",
        "× best rival": "2.02",
        "best rival": "Y",
        "target": "1.5 ✓, 0.8 peak ✓",
        "1 → all threads": "1.90",
    }


def test_cells_of_a_filter(row):
    row |= {"kind": "filter", "of_copy": 0.5, "right": False}
    row["targets"] |= {"dense": 40.0, "copy": 0.5, "peak": None}
    row["rivals"]["reused"]["s"] = rival("S", 900.0, 7.29, dense=False)
    cells = dict(zip(PREPARED, prepared_cells(row), strict=True))
    assert cells["× best rival"] == "7.29; 2.02"
    assert cells["best rival"] == "S; dense: Y"
    assert cells["target"] == "1.5 ✓, 40 dense ✗, 0.5 copy ✓"
    assert cells["row"] == "a layer **wrong**"
    assert cells["of copy"] == "0.50"


def test_cells_without_rivals(row):
    row["rivals"] = {}
    cells = dict(zip(PREPARED, prepared_cells(row), strict=True))
    assert (cells["× best rival"], cells["best rival"], cells["target"]) == ("–", "–", "1.5, 0.8 peak ✓")


def test_page(document):
    page = format_page(document)
    assert "2026-01-02. P, 2 cores, vectors of 512 bits, 25.3 GB, Linux x86_64; 2 threads." in page
    assert "| a layer | 123 | 300 | 250 | 2.02 |" in page
    assert "| a layer | 200 | 500 | 2.50 |" in page
    assert "| a layer | direct; winograd | 3e-07 |" in page
    assert all(line.count("|") == 0 or line.startswith("|") for line in page.splitlines())


def test_page_without_rivals(document):
    document["rows"][0]["rivals"] = {}
    assert "Plain calls" not in format_page(document)


def test_page_is_written_whole_and_replaces_nothing_unasked(document, tmp_path):
    path = tmp_path / "page.md"
    write_page(document, path, force=False)
    assert path.read_text(encoding="utf-8") == format_page(document)
    with pytest.raises(OutputError):
        check_page(path, force=False)
    check_page(path, force=True)
    with pytest.raises(OutputError):
        check_page(tmp_path / "missing" / "page.md", force=False)
    assert list(tmp_path.iterdir()) == [path]

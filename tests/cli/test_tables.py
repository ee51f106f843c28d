"""Plain text tables."""

import pytest

from volconv.cli import tables


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1536, "1.54 kB"), (123_456_789, "123 MB"), (2.5e12, "2.5 TB")],
)
def test_sizes(count, text):
    assert tables.size_text(count) == text


def test_columns_line_up_and_numbers_stand_right():
    assert tables.columns([["a", 5, (1, 2)], ["long", 1234, None]], ["name", "n", "shape"]) == (
        "name     n  shape\na        5  1×2\nlong  1234  -"
    )


def test_values_stay_on_one_line():
    assert tables.value_text("a\nb") == "a\\nb"
    assert tables.value_text([0.5, True, None]) == "0.5, yes, -"
    assert tables.value_text([3, 4], "shape a") == "3×4"
    assert tables.value_text({"kernel_size": [3, 3, 5], "padding": [1, 1, 2]}) == "kernel_size=3×3×5 padding=1, 1, 2"
    assert tables.value_text({"labels": {"1": 10, "2": 11}, "dims": [2, 3]}) == "labels={1: 10, 2: 11} dims=2, 3"
    assert tables.value_text({}) == tables.value_text("") == tables.value_text([]) == "-"


def test_report():
    text = tables.report(
        {
            "kind": "volume",
            "data_bytes": 2048,
            "affine": [[1, 0], [0, 1.5]],
            "statistics": {"min": -1.25},
            "tensors": [{"key": "a.weight", "shape": [3, 3]}, {"key": "b", "shape": [10]}],
            "meta": {},
        }
    )
    assert text.splitlines() == [
        "kind: volume",
        "data: 2.05 kB",
        "affine:",
        "           1           0",
        "           0         1.5",
        "statistics:",
        "  min: -1.25",
        "tensors:",
        "  key       shape",
        "  a.weight  3×3",
        "  b         10",
        "meta: -",
    ]

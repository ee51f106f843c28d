"""The page of a benchmark in Markdown, and the table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...formats.atomic import check_output, write_whole
from .exact import TOLERANCE
from .results import best_rival

Document = Mapping[str, Any]
NOTICE = "<!-- Written by `volconv bench --rivals --output docs/benchmarks.md --force`; run that, do not edit. -->"


def check_page(path: Path, force: bool) -> None:
    """Refuse, before any work, a page that exists or cannot be written."""
    check_output(path, [], force)


def write_page(document: Document, path: Path, force: bool) -> None:
    """Write `format_page` to `path`, whole or not at all."""
    write_whole(path, format_page(document).encode(), force)


def format_page(document: Document) -> str:
    """Return the whole page."""
    rows = document["rows"]
    lines = [NOTICE, "", "# Benchmarks", "", *_where(document), *_HOW.split("\n"), ""]
    lines += ["## Prepared, each side in its own layout with buffers in use", ""]
    lines += table(PREPARED, [prepared_cells(row) for row in rows])
    if any(row["rivals"] for row in rows):
        lines += ["", "Times of all, in ms:", "", *_all_times(rows, "reused")]
        lines += ["", "## Plain calls", "", _PLAIN, "", *_all_times(rows, "plain")]
    lines += ["", "## How each row is computed", ""]
    lines += table(("row", "by", "error"), [_kernel_cells(row) for row in rows])
    return "\n".join(lines) + "\n"


_PLAIN = (
    "From a C-ordered (C, D, H, W) array to a new one: the layer object (whole networks and filters: the pipeline) "
    "against the call one types in each library, with the memory settings it is installed with."
)


def _where(document: Document) -> list[str]:
    machine, versions = document["machine"], document["versions"]
    memory = "" if machine["memory_gb"] is None else f", {machine['memory_gb']:g} GB"
    lines = [
        f"{document['date']}. {machine['processor']}, {machine['cores']} cores, vectors of {machine['vector_bits']} "
        f"bits{memory}, {machine['system']}; {document['threads']} threads.",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        f"Arithmetic peak {document['peak_gflops']:.0f} GF/s (fused multiply-adds in registers, all threads).",
    ]
    if document["copy_gb_per_s"] is not None:
        lines[-1] += f" A copy reads and writes {document['copy_gb_per_s']:.0f} GB/s together."
    return lines


_HOW = f"""
All in float32 and warm, batch 1. Each round measures the peak, ours, the peak again, then one call of every rival;
rivals live in processes of their own and wait their turn. Times are medians over at least five rounds, ratios medians
of the ratios within a round. A rival twice as slow as the best of its kind when warm, or 1.5 times (1.15 where all
take long) in the first round, is timed once. GF/s are of the direct algorithm, so a cheaper one exceeds the peak.
Rivals run with glibc keeping freed memory (`MALLOC_MMAP_MAX_=0`, `MALLOC_TRIM_THRESHOLD_`, `MALLOC_TOP_PAD_`), inputs
and outputs bound where the library can, OpenVINO in float32 (left alone it would use bfloat16 where the processor can).
A layer is timed as it stands inside a network: borders are filled, its result stays in the layout the next stage reads;
whole networks go from array to array. Every result, theirs too, is compared with float64 in windows at the volume's
ends and middle: it may differ by {TOLERANCE:g} of the largest value."""


PREPARED = ("row", "ms", "GF/s", "× peak", "of copy", "× best rival", "best rival", "target", "1 → all threads")


def prepared_cells(row: Document) -> tuple[str, ...]:
    """Return a row of the table of prepared runs, its cells as in `PREPARED`."""
    is_filter = row["kind"] == "filter"
    best, dense = best_rival(row, "reused", False if is_filter else None), best_rival(row, "reused", True)
    ratio, name = _lead(best), best["title"] if best else "–"
    if is_filter and dense:
        ratio, name = f"{ratio}; {_lead(dense)}", f"{name}; dense: {dense['title']}"
    return (
        row["title"] + ("" if row["right"] else " **wrong**"),
        _number(row["ms"]),
        f"{row['gflops']:.0f}",
        _ratio(row["of_peak"]),
        _ratio(row["of_copy"]) if row["of_copy"] is not None else "–",
        ratio,
        name,
        target_text(row),
        _ratio(row["one_to_all_threads"]),
    )


def target_text(row: Document) -> str:
    """Return what is wanted of a row, each with ✓ or ✗ where it is known: of rivals, of the peak, of the copy rate."""
    wanted = row["targets"]
    quick = best_rival(row, "reused", False if row["kind"] == "filter" else None)
    found = (
        ("rival", "", None if quick is None else quick["times_ours"]),
        ("dense", " dense", (best_rival(row, "reused", True) or {}).get("times_ours")),
        ("peak", " peak", row["of_peak"]),
        ("copy", " copy", row["of_copy"]),
    )
    parts = []
    for name, word, value in found:
        if wanted[name] is not None:
            mark = "" if value is None else " ✓" if value >= wanted[name] else " ✗"
            parts.append(f"{wanted[name]:g}{word}{mark}")
    return ", ".join(parts) or "–"


def _all_times(rows: Sequence[Document], mode: str) -> list[str]:
    """Return the table of our time and every rival's, with the ratio to the best."""
    found = {name: r["title"] for row in rows for name, r in row["rivals"].get(mode, {}).items() if "ms" in r}
    ours = "ms" if mode == "reused" else "plain_ms"
    lines = []
    for row in rows:
        cells = [row["title"], _number(row[ours]), *(_time(row, mode, name) for name in found)]
        lines.append((*cells, _lead(best_rival(row, mode))))
    return table(("row", "volconv", *found.values(), "× best"), lines)


def _time(row: Document, mode: str, name: str) -> str:
    rival = row["rivals"].get(mode, {}).get(name)
    return "–" if rival is None else _number(rival["ms"]) if "ms" in rival else "fails"


def _kernel_cells(row: Document) -> tuple[str, ...]:
    return row["title"], "; ".join(row["kernels"]), f"{row['error']:.0e}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _lead(rival: Document | None) -> str:
    """Return how many times our time a rival takes."""
    return _ratio(None if rival is None else rival["times_ours"])


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [
        f"| {' | '.join(header)} |",
        f"| {' | '.join('---' for _ in header)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]

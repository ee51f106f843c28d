"""The whole benchmark: the rows asked for, one after the other, with what there is to say of machine and versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import UsageError
from ...run.events import Emit, Phase, ignore
from ...settings import thread_count
from ...values import nearest
from .machine import describe_machine, describe_versions, today
from .page import check_page, write_page
from .rivals.base import ENTRIES
from .rows import ROWS, Row
from .timing import Settings, open_lock, time_row

ROUNDS = 5


def bench(
    *,
    rows: Sequence[str] = (),
    rivals: Sequence[str] | bool = False,
    rounds: int = ROUNDS,
    threads: int | None = None,
    output: str | Path | None = None,
    force: bool = False,
    lock: str | Path | None = None,
    on_event: Emit = ignore,
) -> dict[str, Any]:
    """Time standard layers, filters and networks beside what the machine can do, and beside other libraries.

    Parameters
    ----------
    rows : sequence of str, optional
        Names of rows; all if empty.
    rivals : sequence of str, or bool
        Names of other libraries, or whether to time all of them.
    rounds : int
        Times each side is timed, at least.
    threads : int, optional
        Default: the processors this process may use.
    output : str or path, optional
        A page in Markdown is written there.
    force : bool
        Whether the page may replace another.
    lock : str or path, optional
        A file whose lock is held while anything is timed, so that benchmarks on one machine take turns.
    on_event : callable, optional
        Called with events of `volconv.run.events`.

    Returns
    -------
    dict
        ``machine``, ``versions``, ``date``, ``threads``, ``peak_gflops``, ``copy_gb_per_s`` and ``rows``; each row
        says with ``right`` whether all its results were.

    Raises
    ------
    UsageError
        A row or a library is not known, or the page or the lock cannot be written.
    """
    chosen = [_find(name) for name in rows] or list(ROWS)
    names = (list(ENTRIES) if rivals else []) if isinstance(rivals, bool) else [_known(name) for name in rivals]
    if output is not None:
        check_page(Path(output), force)
    if lock is not None:
        open_lock(Path(lock)).close()
    settings = Settings(rounds, thread_count(threads), names, None if lock is None else Path(lock))
    documents = []
    for row in chosen:
        on_event(Phase(row.title))
        documents.append(time_row(row, settings))
    document = describe(documents, settings.threads)
    if output is not None:
        write_page(document, Path(output), force)
    return document


def describe(rows: Sequence[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Return the document of rows timed by this process."""
    copies = [row["copy_gb_per_s"] for row in rows if row["copy_gb_per_s"] is not None]
    return {
        "machine": describe_machine(),
        "versions": describe_versions() | _rival_versions(rows),
        "date": today(),
        "threads": threads,
        "peak_gflops": median(row["peak_gflops"] for row in rows),
        "copy_gb_per_s": median(copies) if copies else None,
        "rows": list(rows),
    }


def join(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the one document of several from the same machine, installation and number of threads."""
    rows = [row for document in documents for row in document["rows"]]
    return describe(rows, documents[0]["threads"])


def _rival_versions(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        for mode in row["rivals"].values():
            found |= {ENTRIES[name].library: r["version"] for name, r in mode.items() if "version" in r}
    return dict(sorted(found.items()))


def _find(name: str) -> Row:
    by_name = {row.name: row for row in ROWS}
    if name not in by_name:
        raise UsageError(f"found row {name!r}, expected one of {', '.join(by_name)}{nearest(name, by_name)}")
    return by_name[name]


def _known(name: str) -> str:
    if name not in ENTRIES:
        raise UsageError(f"found rival {name!r}, expected one of {', '.join(ENTRIES)}{nearest(name, ENTRIES)}")
    return name

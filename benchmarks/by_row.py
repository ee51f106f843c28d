"""Run `volconv bench --rivals` row by row, each in a process of its own, and write one page of all.

    python benchmarks/by_row.py [-o FILE] [--under COMMAND] [--rounds N] [ROW ...]

`--under` puts a command before each process, to hold a lock or to bind processors: --under "taskset -c 0,1". A row
whose process fails is reported and left out, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from volconv.api.bench.page import format_page, write_page
from volconv.api.bench.rows import ROWS
from volconv.api.bench.suite import join


def main() -> int:
    """Run the rows and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", help="default: all of " + " ".join(row.name for row in ROWS))
    parser.add_argument("-o", "--output", type=Path, help="the page; default: standard output")
    parser.add_argument("--under", default="", help="a command that starts each process")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    names = options.rows or [row.name for row in ROWS]
    documents = [time_row(name, shlex.split(options.under), options.rounds) for name in names]
    found = [document for document in documents if document is not None]
    if found:
        document = join(found)
        if options.output is None:
            print(format_page(document), end="")
        else:
            write_page(document, options.output, force=True)
    return 0 if len(found) == len(names) and all(row["right"] for d in found for row in d["rows"]) else 1


def time_row(name: str, under: list[str], rounds: int) -> dict[str, Any] | None:
    """Return the document of one row, or None where its process gave none."""
    words = [sys.executable, "-m", "volconv", "bench", "--rivals", "--json", "--rows", name, "--rounds", str(rounds)]
    done = subprocess.run([*under, *words], stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout.strip():
        print(f"{name}: no result, exit status {done.returncode}", file=sys.stderr)
        return None
    document: dict[str, Any] = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    sys.exit(main())

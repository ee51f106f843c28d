"""The process rivals run in: makes them, checks them, then runs one for each line it is sent and says how long it took.

It lives apart so that its memory settings and threads are the rivals' own. Messages out are JSON, a line each.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..exact import Exact
from ..networks import make_volume
from ..rows import Row
from .base import ENTRIES, Rival, Task, make_rival

_WARM_RUNS, _WARM_SECONDS = 4, 0.7


@dataclass(frozen=True)
class Job:
    """What a child is to do.

    Attributes
    ----------
    row : Row
    names : sequence of str
        Rivals.
    threads : int
    is_plain : bool
    exact, exact_zeros : Exact
        Of the row, and of the row padded with zeros.
    """

    row: Row
    names: Sequence[str]
    threads: int
    is_plain: bool
    exact: Exact
    exact_zeros: Exact


def main() -> None:
    """Serve the job on standard input."""
    # Set by our own kernels for themselves; the rivals' OpenMP shall wait as its authors thought best.
    os.environ.pop("OMP_WAIT_POLICY", None)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    job: Job = pickle.load(sys.stdin.buffer)
    rivals, ready = make_rivals(job)
    answer(ready)
    for line in sys.stdin.buffer:
        rival = rivals[line.decode().strip()]
        start = time.perf_counter()
        rival.run()
        answer({"seconds": time.perf_counter() - start})


def _warm_up(rival: Rival) -> None:
    """Run until memory has grown to what the rival needs and code has been chosen: a few times if that is quick."""
    start, runs = time.perf_counter(), 0
    while runs < 1 or (runs < _WARM_RUNS and time.perf_counter() - start < _WARM_SECONDS):
        rival.run()
        runs += 1


def make_rivals(job: Job) -> tuple[dict[str, Rival], dict[str, Any]]:
    """Return the rivals that work, each after its first run, and what is to be said of all."""
    row = job.row
    graph = row.make().build(row.shape, row.channels)
    task = Task(graph, make_volume(row.channels, row.shape, row.volume), job.threads, job.is_plain)
    rivals: dict[str, Rival] = {}
    ready: dict[str, Any] = {"versions": {}, "errors": {}, "failed": {}}
    for name in job.names:
        try:
            rival = make_rival(name, task)
            _warm_up(rival)
            exact = job.exact if ENTRIES[name].maker.startswith("scipy") else job.exact_zeros
            ready["errors"][name] = exact.error_of(rival.result())
        except ImportError as error:
            ready["failed"][name] = f"not installed: {error}"
        except Exception as error:  # whatever another library raises is its result
            ready["failed"][name] = f"{type(error).__name__}: {error}"[:200]
        else:
            rivals[name] = rival
            ready["versions"][name] = rival.version
    return rivals, ready

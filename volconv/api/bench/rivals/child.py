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
from .base import Rival, Task, make_rival

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

    def exact_for(self, name: str) -> Exact:
        """Return what the rival called `name` must give: all but SciPy's pad with zeros."""
        return self.exact if name == "scipy" else self.exact_zeros


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
    rivals, failed = make_rivals(job)
    answer({"versions": {name: rival.version for name, rival in rivals.items()}, "failed": failed})
    for line in sys.stdin.buffer:
        command, name = line.decode().split()
        answer(_warm_up(rivals[name], job.exact_for(name)) if command == "warm" else _time(rivals[name]))


def make_rivals(job: Job) -> tuple[dict[str, Rival], dict[str, str]]:
    """Return the rivals that can be made, none of which has run, and why the others cannot."""
    row = job.row
    graph = row.make().build(row.shape, row.channels)
    task = Task(graph, make_volume(row.channels, row.shape, row.volume), job.threads, job.is_plain)
    rivals: dict[str, Rival] = {}
    failed: dict[str, str] = {}
    for name in job.names:
        try:
            rivals[name] = make_rival(name, task)
        except ImportError as error:
            failed[name] = f"not installed: {error}"
        except Exception as error:  # whatever another library raises is its result
            failed[name] = _describe(error)
    return rivals, failed


def _warm_up(rival: Rival, exact: Exact) -> dict[str, Any]:
    """Return the error of a rival's result and the seconds of its last run, or why there is none.

    It runs until memory has grown to what it needs and code has been chosen: a few times if that is quick.
    """
    start, runs = time.perf_counter(), 0
    last = {}
    try:
        while runs < 1 or (runs < _WARM_RUNS and time.perf_counter() - start < _WARM_SECONDS):
            last = _time(rival)
            runs += 1
        return {"error": exact.error_of(rival.result()), **last}
    except Exception as error:  # as above
        return {"failed": _describe(error)}


def _time(rival: Rival) -> dict[str, float]:
    start = time.perf_counter()
    rival.run()
    return {"seconds": time.perf_counter() - start}


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]

"""Times one row: rounds in which the machine's peak, our sides and the rivals take turns; medians over the rounds.

Ratios are taken within a round, so that a slow moment of a shared machine falls on all alike.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...errors import UsageError
from ...kernels.jit import set_threads
from ...kernels.peak import make_copy, make_peak
from ...settings import thread_count
from .exact import make_exact
from .results import Measured, Samples, describe_row
from .rivals.base import ENTRIES
from .rivals.child import Job
from .rivals.process import RivalProcess
from .rows import Row
from .sides import PlainSide, PreparedSide, Subject, make_subject
from .zeros import pad_with_zeros

_PAUSE_SECONDS = 0.03
"""After a rival: its threads go on spinning for a while."""
_OUT_AT_THE_START, _OUT_OF_THE_RACE = 2.0, 1.5
"""A rival this much slower than the best of its kind when warm, or in the first round, is timed no more."""
_LONG_SECONDS, _CLOSE = 0.5, 1.15
"""Where the best takes this long, runs differ little, and only those as close as this stay."""
_MOST_ROUNDS = 3
_SHORT_SECONDS = 6.0
"""Rounds are added, up to three times as many, while all of them take less."""


@dataclass(frozen=True)
class Settings:
    """How rows are timed.

    Attributes
    ----------
    rounds : int
        At least this many.
    threads : int
    rivals : sequence of str
        Names of `rivals.base.ENTRIES`.
    lock : Path or None
        A file whose lock is held while anything is timed, and let go in between.
    """

    rounds: int
    threads: int
    rivals: Sequence[str] = ()
    lock: Path | None = None


def time_row(row: Row, settings: Settings) -> dict[str, Any]:
    """Return the row's times, rates and errors as one JSON-able document."""
    set_threads(settings.threads)
    subject = make_subject(row)
    with ExitStack() as stack:
        children = {mode: stack.enter_context(child) for mode, child in _children(subject, settings).items()}
        prepared = PreparedSide(subject, settings.threads)
        sides: dict[str, Callable[[], float]] = {"prepared": prepared.run}
        if settings.threads > 1 and not row.is_memory_bound:
            sides["single"] = lambda: prepared.run(1)
        errors = {"prepared": prepared.error}
        if settings.threads == thread_count():  # a layer's call takes the threads the process may use
            spec, weights = stack.enter_context(subject.network.opened())
            plain = PlainSide(subject, spec, weights)
            sides["plain"], errors["plain"] = plain.run, plain.error
        rates = {"peak": make_peak()}
        if row.is_memory_bound or row.targets.copy is not None:
            rates["copy"] = make_copy(subject.nbytes)
        for child in children.values():
            child.wait_ready()
            for name in child.versions:  # one at a time: threads that spin while others compute take forever
                with _alone(settings.lock):
                    child.warm_up(name)
        samples = _take_turns(sides, rates, children, settings)
    return describe_row(Measured(subject, prepared, samples, errors, children))


def _children(subject: Subject, settings: Settings) -> dict[str, RivalProcess]:
    """Return a process for the rivals that reuse memory in their own layout, and one for their plain calls."""
    row = subject.row
    names = [name for name in settings.rivals if row.kind == "filter" or not ENTRIES[name].only_filters]
    if not names:
        return {}

    def build(*wire: Any) -> Any:
        return pad_with_zeros(subject.network.build(*wire))

    zeros = make_exact(build, subject.volume) if row.kind == "filter" else subject.exact
    return {
        mode: RivalProcess(Job(row, names, settings.threads, mode == "plain", subject.exact, zeros))
        for mode in ("reused", "plain")
    }


def _take_turns(
    sides: dict[str, Callable[[], float]],
    rates: dict[str, Callable[[], float]],
    children: dict[str, RivalProcess],
    settings: Settings,
) -> Samples:
    """Return the samples of all rounds, each of two laps: what is prepared, then the plain calls."""
    samples = Samples()
    warm = {f"{mode} {name}": t for mode, child in children.items() for name, t in child.warm_seconds.items()}
    racing = {
        mode: list(_still_racing(mode, list(child.errors), warm, _OUT_AT_THE_START)) for mode, child in children.items()
    }
    done, spent = 0, 0.0
    while done < settings.rounds or (done < _MOST_ROUNDS * settings.rounds and spent + spent / done < _SHORT_SECONDS):
        entry: dict[str, float] = {}
        for lap, mode in (("prepared", "reused"), ("plain", "plain")):
            with _alone(settings.lock):
                start = time.perf_counter()
                if lap == "prepared":
                    before = {name: measure() for name, measure in rates.items()}
                    entry["prepared"] = sides["prepared"]()
                    entry |= {name: (before[name] + measure()) / 2 for name, measure in rates.items()}
                    lap = "single"
                if lap in sides:
                    entry[lap] = sides[lap]()
                for name in racing.get(mode, ()):
                    entry[f"{mode} {name}"] = children[mode].time(name)
                    time.sleep(_PAUSE_SECONDS)
                spent += time.perf_counter() - start
        if not done:
            racing = {mode: list(_still_racing(mode, names, entry, _OUT_OF_THE_RACE)) for mode, names in racing.items()}
            entry = warm | entry
        samples.rounds.append(entry)
        done += 1
    return samples


@contextmanager
def _alone(lock: Path | None) -> Iterator[None]:
    """Hold the lock of a file, if one is given, while the block runs."""
    if lock is None:
        yield
        return
    with open_lock(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_lock(lock: Path) -> IO[str]:
    """Return the file `lock`, made if there is none.

    Raises
    ------
    UsageError
        It cannot be opened for writing.
    """
    try:
        return lock.open("a")
    except OSError as error:
        raise UsageError(f"cannot be locked: {error.strerror}", file=str(lock)) from error


def _still_racing(mode: str, names: Sequence[str], entry: Mapping[str, float], limit: float) -> Iterator[str]:
    """Yield the rivals that may still be the best of their kind: at most about `limit` times slower in `entry`."""
    for name in names:
        kind = [other for other in names if ENTRIES[other].only_filters == ENTRIES[name].only_filters]
        best = min(entry[f"{mode} {other}"] for other in kind)
        if entry[f"{mode} {name}"] <= (limit if best < _LONG_SECONDS else min(limit, _CLOSE)) * best:
            yield name

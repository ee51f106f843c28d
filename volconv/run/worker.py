"""Runs the work beside the main thread, so that Python sees signals while a kernel computes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag
from threading import Thread

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 1.5


def run_beside(work: Callable[[Flag], None]) -> None:
    """Call ``work(stop)`` in a thread and wait for it; its exception is raised here.

    When the waiting is interrupted (Ctrl-C, a signal handler that raises), `stop` is set, the thread gets 1.5 s to
    come to its next tile, and the interruption goes on: the caller takes back what the work had begun.
    """
    stop = Flag()
    failures: list[BaseException] = []

    def target() -> None:
        try:
            work(stop)
        except BaseException as error:  # carried over to the waiting thread, whatever it is
            failures.append(error)

    thread = Thread(target=target, name="volconv-work", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
    except BaseException:
        stop.set()
        thread.join(_PATIENCE_SECONDS)
        raise
    if failures:
        raise failures[0]

"""Work in threads of its own: the run itself, so that Python sees signals while a kernel computes, and small tasks."""

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


class Task:
    """Work that goes on in a thread until `wait`; it does not keep the process alive."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="volconv-task", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when the work is done; its exception is raised here."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # carried over to the waiting thread, whatever it is
            self._failure = error

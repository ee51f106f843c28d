"""What is said to whom: results to stdout, everything else to stderr, nothing more than was asked for."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from volconv.errors import show

if TYPE_CHECKING:
    from .progress import Progress


class Console:
    """One run's voice.

    Attributes
    ----------
    level : int
        -1: errors only; 0: a line for what matters; 1: more.
    debug : bool
        Whether errors come with a traceback.
    json : bool
        Whether stdout carries one JSON document and nothing else.
    """

    def __init__(self) -> None:
        self.level = 0
        self.debug = False
        self.json = False

    def out(self, text: str) -> None:
        """Print a result."""
        print(text, file=sys.stdout)

    def print_json(self, document: Any) -> None:
        """Print `document` as JSON; numbers that JSON cannot say (NaN, infinities) become null."""
        self.out(json.dumps(_plain(document), indent=2, allow_nan=False))

    def note(self, text: str, level: int = 0) -> None:
        """Say `text` on stderr, on one line, if the level is reached."""
        if self.level >= level:
            self.error_text(f"volconv: {show(text)}")

    def error(self, text: str) -> None:
        """Say one line of error."""
        self.error_text(f"volconv: {text}")

    def error_text(self, text: str) -> None:
        """Say `text` on stderr as it stands; a stderr that is closed or gone is no error."""
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)

    @property
    def draws(self) -> bool:
        """Whether stderr is a terminal that can redraw a line."""
        terminal = sys.stderr is not None and sys.stderr.isatty()
        return terminal and self.level >= 0 and os.environ.get("TERM", "") not in ("dumb", "unknown")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Yield a listener for a run's events; the bar is gone when the block is left, however it is left."""
        from .progress import Progress

        listener = Progress(self)
        try:
            yield listener
        finally:
            listener.stop()

    def flush(self) -> None:
        """Hand everything printed to the system."""
        if sys.stdout is not None:
            sys.stdout.flush()

    def discard_stdout(self) -> None:
        """Send what is left in stdout's buffer nowhere, so that the interpreter's last flush cannot fail."""
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return str(value)

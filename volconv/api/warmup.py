"""Compiles the kernels ahead of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def warmup(on_event: Callable[[Any], None] | None = None) -> dict[str, Any]:
    """Compile the kernels of the usual layers into the cache, so that later runs start at once.

    Parameters
    ----------
    on_event : callable, optional
        Called with the events of `volconv.run.events`.

    Returns
    -------
    dict
        What was compiled, where the cache is, and the time it took.
    """
    from ..engine.warmup import warmup as compile_kernels
    from ..run.events import Compiling

    return compile_kernels(None if on_event is None else lambda count: on_event(Compiling(count)))

"""Makes kernels ready before the first tile: those the cache lacks are compiled by a child process.

What compiling takes is memory of the child, which has gone before the first tile; so cold and warm runs peak alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..kernels.compile_main import compile_in_child
from ..kernels.jit import KernelSpec, get_kernel, missing

_COMPILER_BYTES = 300 * 2**20
"""What a compiling process takes; all of them together stay within the run's budget."""


def compile_jobs(threads: int, spare_bytes: int) -> int:
    """Return how many processes may compile at a time on `threads` processors in `spare_bytes` of memory."""
    return max(1, min(threads, 4, spare_bytes // _COMPILER_BYTES))


def make_ready(specs: Iterable[KernelSpec], on_compile: Callable[[int], None] | None = None, jobs: int = 1) -> None:
    """Load every kernel of `specs`, compiling first what the cache does not hold, `jobs` processes at a time."""
    wanted = list(dict.fromkeys(specs))
    lacking = missing(wanted)
    if lacking:
        if on_compile is not None:
            on_compile(len(lacking))
        compile_in_child(lacking, jobs)
    for spec in wanted:
        get_kernel(spec)

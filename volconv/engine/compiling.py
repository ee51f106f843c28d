"""Makes kernels ready before the first tile: those the cache lacks are compiled by a child process.

What compiling takes is memory of the child, which has gone before the first tile; so cold and warm runs peak alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import BudgetError
from ..kernels.compile_main import compile_in_child
from ..kernels.jit import KernelSpec, get_kernel, missing

_FIRST_BYTES = 288 * 2**20
"""What the process and one that compiles for it take together, shared pages counted once (259 MiB were measured)."""
_COMPILER_BYTES = 200 * 2**20
"""What each further one takes."""


def compile_jobs(threads: int, budget: int) -> int:
    """Return how many processes may compile at a time on `threads` processors within `budget`; 0: none may."""
    if budget < _FIRST_BYTES:
        return 0
    return min(threads, 4, 1 + (budget - _FIRST_BYTES) // _COMPILER_BYTES)


def make_ready(specs: Iterable[KernelSpec], on_compile: Callable[[int], None] | None = None, jobs: int = 1) -> None:
    """Load every kernel of `specs`, compiling first what the cache does not hold, `jobs` processes at a time.

    Raises
    ------
    BudgetError
        Kernels have to be compiled, and `jobs` is 0.
    """
    wanted = list(dict.fromkeys(specs))
    lacking = missing(wanted)
    if lacking and not jobs:
        kernels = "1 kernel that was" if len(lacking) == 1 else f"{len(lacking)} kernels that were"
        error = BudgetError(
            f"memory budget does not suffice to compile {kernels} never used before; "
            f"give --memory {_FIRST_BYTES >> 20}MiB or more this once"
        )
        error.needed = _FIRST_BYTES
        raise error
    if lacking:
        if on_compile is not None:
            on_compile(len(lacking))
        compile_in_child(lacking, jobs)
    for spec in wanted:
        get_kernel(spec)

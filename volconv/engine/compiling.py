"""Makes kernels ready before the first tile: those the cache lacks are compiled by a child process.

What compiling takes is memory of the child, which has gone before the first tile; so cold and warm runs peak alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..kernels.compile_main import compile_in_child
from ..kernels.jit import KernelSpec, get_kernel, missing


def make_ready(specs: Iterable[KernelSpec], on_compile: Callable[[int], None] | None = None) -> None:
    """Load every kernel of `specs`, compiling first what the cache does not hold."""
    wanted = list(dict.fromkeys(specs))
    lacking = missing(wanted)
    if lacking:
        if on_compile is not None:
            on_compile(len(lacking))
        compile_in_child(lacking)
    for spec in wanted:
        get_kernel(spec)

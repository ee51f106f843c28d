"""Compile a kernel once: the functions it calls are linked into it as they are, and only the whole is optimised.

Left alone, numba optimises every function a kernel calls, and turns it into machine code that nobody calls, before it
does the same to the kernel they are all inlined into: more than half of the time of compiling. Knows nothing of what a
kernel computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime import rtsys


class _PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """The code of a function that is linked into a kernel and never called by its address."""

    def _optimize_final_module(self) -> None:
        """Leave that to the library it is linked into."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, _name: str) -> int:
        """Return 0: there is no machine code."""
        self._ensure_finalized()
        return 0


@contextmanager
def whole_only(target_context: Any, name: str) -> Iterator[None]:
    """While this lasts, all that this thread compiles but the function called `name` is made to be linked only."""
    codegen = target_context.codegen()

    def create_library(library: str) -> Any:
        return (JITCodeLibrary if library == name else _PartLibrary)(codegen, library)

    def set_env(env_name: str, env: Any) -> None:
        if codegen._engine.is_symbol_defined(env_name):  # parts have no place for one
            type(codegen).set_env(codegen, env_name, env)

    with global_compiler_lock:
        rtsys.initialize(target_context)  # numba's runtime is called by its address
        codegen.create_library, codegen.set_env = create_library, set_env
        try:
            yield
        finally:
            del codegen.create_library, codegen.set_env

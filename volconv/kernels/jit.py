"""Every numba option, the registry of kernels, their compilation ahead of use, and the threads they run on.

A kernel is named by a `KernelSpec`: a registered factory, the element type and a few ints. The factory returns a plain
function and its one signature; `get_kernel` loads the compiled code from the cache or compiles it. Knows nothing of
what a kernel computes.

    @register("pointwise.rows", parallel=True)                 name = module of this folder, dot, kernel
    def make_rows(real, width):                                real: numba's float32 or float64; then the spec's ints
        def rows(x, out, n):
            for i in prange(n):
                ...
        return rows, void(flat(real), flat(real, writable=True), int64)

    get_kernel(KernelSpec("pointwise.rows", "float32", (16,)))(x, out, n)

Compiling takes 100 MB and seconds, so a run calls ``missing`` and ``compile_in_child`` before its first tile: the work
happens in processes that have exited by then, and the caller's memory is the same with a cold and with a warm cache.
"""

from __future__ import annotations

import importlib
import itertools
import os
import pickle
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from ..errors import RunError
from .cache import KernelCache, cache_key, default_folder, note

if not os.environ.get("NUMBA_NUM_THREADS", "1").isdecimal() or os.environ.get("NUMBA_NUM_THREADS") == "0":
    note(f"NUMBA_NUM_THREADS={os.environ.pop('NUMBA_NUM_THREADS')!r} is no number of threads; ignored")

try:
    import llvmlite.binding
    import numba
    import numpy as np
    from numba import int64, prange, types, void
    from numba.core import bytecode, compiler, serialize
    from numba.core.runtime import rtsys
    from numba.extending import intrinsic

    from .parts import whole_only
except (ImportError, OSError) as error:  # numba refuses versions of NumPy and llvmlite that it was not built for
    raise RunError(f"numba cannot be loaded: {error}", code="run.library") from error

__all__ = [
    "Kernel",
    "KernelSpec",
    "device",
    "flat",
    "get_kernel",
    "inlined",
    "int64",
    "intrinsic",
    "missing",
    "prange",
    "register",
    "set_threads",
    "thread_count",
    "types",
    "void",
]

Factory = Callable[..., tuple[Callable[..., Any], Any]]
Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False, "fastmath": False, "no_cfunc_wrapper": True}
# Only `prange` loops become parallel; array expressions are never rewritten behind a kernel's back.
_PARALLEL = {
    "prange": True,
    "comprehension": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "numpy": False,
    "stencil": False,
    "fusion": False,
}
# The names of compiled functions end in a number that counts from 1 in every process, so kernels compiled by two
# processes and loaded by a third could bear one name, and calls would reach the wrong one. Count from a random place.
bytecode.FunctionIdentity._unique_ids = itertools.count(secrets.randbits(40) << 20)

# `workqueue` aborts the process when two threads enter it; `omp` does not, but kills forked children: spawn only.
if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]


@dataclass(frozen=True, order=True)
class KernelSpec:
    """One specialisation of one kernel.

    Parameters
    ----------
    name : str
        The registered name: ``<module of this folder>.<kernel>``.
    dtype : str
        ``float32`` or ``float64``.
    ints : tuple of int
        What the factory closes over: block sizes, vector lengths, switches.
    """

    name: str
    dtype: str
    ints: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The name of the file it is kept in."""
        return "_".join((self.name, self.dtype, *map(str, self.ints)))

    def to_json(self) -> list[Any]:
        """Return a JSON-able form."""
        return [self.name, self.dtype, list(self.ints)]

    @classmethod
    def from_json(cls, value: list[Any]) -> KernelSpec:
        """Return the spec that `to_json` wrote."""
        name, dtype, ints = value
        return cls(str(name), str(dtype), tuple(int(i) for i in ints))


class Kernel:
    """A compiled kernel. Calls are taken one at a time in a process, release the GIL, and use `set_threads` threads."""

    _one_caller = threading.Lock()

    def __init__(self, spec: KernelSpec, function: Callable[..., Any], parallel: bool) -> None:
        self.spec = spec
        self.function = function
        self._parallel = parallel

    def __call__(self, *args: Any) -> None:
        """Run on `args`, which must have the types of the kernel's signature."""
        with Kernel._one_caller:
            if self._parallel:
                numba.set_num_threads(_threads)  # numba keeps the count per calling thread
            self.function(*args)


_factories: dict[str, tuple[Factory, bool]] = {}
_threads: int = numba.config.NUMBA_NUM_THREADS
_compiling = threading.RLock()
_kernels: dict[KernelSpec, Kernel] = {}


def register(name: str, *, parallel: bool) -> Callable[[Factory], Factory]:
    """Register a factory ``(real, *ints) -> (function, signature)`` under `name`.

    The function may close over ints, bools and numba types, and call module-level `device` functions. Inner device
    functions made by the factory must bear names that say what they close over.
    """

    def keep(factory: Factory) -> Factory:
        _factories[name] = (factory, parallel)
        return factory

    return keep


def device(function: Function) -> Function:
    """Make `function` callable from kernels; it is compiled into each of them."""
    compiled: Function = numba.njit(no_cpython_wrapper=True, **_OPTIONS)(function)
    return compiled


def inlined(function: Function) -> Function:
    """Make `function` a device function put in place of every call, which the loop around needs to be vectorised."""
    compiled: Function = numba.njit(no_cpython_wrapper=True, forceinline=True, **_OPTIONS)(function)
    return compiled


def flat(real: Any, *, writable: bool = False, ndim: int = 1) -> Any:
    """Return the numba type of a C-contiguous array of `real`; arrays only read may be read-only."""
    return types.Array(real, ndim, "C", readonly=not writable)


def get_kernel(spec: KernelSpec) -> Kernel:
    """Return the kernel, from this process, else from the cache on disk, else compiled now."""
    with _compiling:
        if spec not in _kernels:
            _kernels[spec] = _make_kernel(spec)
        return _kernels[spec]


def missing(specs: Iterable[KernelSpec]) -> list[KernelSpec]:
    """Return those of `specs` that `get_kernel` would have to compile, each once, in order."""
    return [s for s in dict.fromkeys(specs) if s not in _kernels and kernel_cache().read(s.label) is None]


def set_threads(count: int) -> int:
    """Let parallel kernels use `count` threads, at most as many as numba launches, and return the number."""
    global _threads
    _threads = max(1, min(count, numba.config.NUMBA_NUM_THREADS))
    return _threads


def thread_count() -> int:
    """Return the number of threads that parallel kernels use now."""
    return _threads


@cache
def kernel_cache() -> KernelCache:
    """Return the process's cache of compiled kernels."""
    cpu = numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    features = numba.config.CPU_FEATURES or llvmlite.binding.get_host_cpu_features().flatten()
    libraries = [f"{library.__name__} {library.__version__}" for library in (numba, llvmlite, np)]
    key = cache_key(f"{cpu} {features}", libraries, os.environ)
    return KernelCache(default_folder(key, os.environ), _adopted)


_adopted: Any = None


def adopt_folder(folder: Any) -> None:
    """Keep kernels in `folder`, which the process that started this one chose."""
    global _adopted
    _adopted = folder
    kernel_cache.cache_clear()


def _make_kernel(spec: KernelSpec) -> Kernel:
    importlib.import_module(f"{__package__}.{spec.name.partition('.')[0]}")
    factory, parallel = _factories[spec.name]
    function, signature = factory(getattr(types, spec.dtype), *spec.ints)
    # The name goes into the machine code's symbols; specialisations of one kernel must not share it.
    function.__name__ = function.__qualname__ = "".join(c if c.isalnum() else "_" for c in spec.label)
    if numba.config.DISABLE_JIT:
        raise RunError(
            "NUMBA_DISABLE_JIT is set, and volconv's kernels cannot run without being compiled: unset it",
            code="run.library",
        )
    dispatcher = numba.njit(parallel=dict(_PARALLEL) if parallel else False, **_OPTIONS)(function)
    dispatcher._cache = _DispatcherCache(spec)
    with whole_only(dispatcher.targetctx, function.__qualname__):
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return Kernel(spec, dispatcher, parallel)


class _DispatcherCache:
    """What numba's dispatcher asks of a cache, answered from `kernel_cache`."""

    def __init__(self, spec: KernelSpec) -> None:
        self._spec = spec

    def load_overload(self, _signature: Any, target_context: Any) -> Any:
        content = kernel_cache().read(self._spec.label)
        if content is None:
            return None
        # Numba would first load all it can compile: 0.3 s, and scipy with it where that is installed. Ready code needs
        # none of it but the reference counts of array arguments.
        rtsys.initialize(target_context)
        return compiler.CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, _signature: Any, result: Any) -> None:
        if result.lifted or result.library.has_dynamic_globals:
            raise TypeError(f"kernel {self._spec.label} cannot be cached: it holds pointers or large arrays")
        kernel_cache().write(self._spec.label, serialize.dumps(result._reduce()))

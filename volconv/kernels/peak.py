"""What the machine can do at best: multiply-adds held in registers, and a plain copy, both on all threads.

Benchmarks measure these beside every layer, in the same process, so that a slow moment of the machine hits both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from .blocks import INT32, Block, intrinsic
from .catalog import vector_bits
from .jit import KernelSpec, flat, get_kernel, int64, prange, register, thread_count, void
from .simd import add_columns, load_vectors, make_places, pointer, scale_columns, store_voxels, zeros

Array = np.ndarray[Any, Any]
_COLUMNS = 2
_ROUNDS = 4_000_000
"""Steps of every chain: some 15 ms. In less, waking the threads would count, and every share would look better."""
_APART = 4096
_LINE = 16
"""Values of float32 in a cache line."""
_WAYS = (0, 1)


def _chain_shape() -> tuple[int, int]:
    """Return lanes and rows: independent sums that fill the pipeline of two units, and fit the registers."""
    bits = vector_bits()
    return bits // 32, 8 if bits == 512 else 5


def peak_specs() -> list[KernelSpec]:
    """Return the kernels of this file, for `jit.missing` and a child process."""
    copies = [KernelSpec("peak.copy", "float32", (way,)) for way in _WAYS]
    return [KernelSpec("peak.chains", "float32", _chain_shape()), *copies]


def make_peak() -> Callable[[], float]:
    """Return a function that measures the peak of float32: fused multiply-adds a second, on `thread_count` threads."""
    lanes, rows = _chain_shape()
    kernel = get_kernel(KernelSpec("peak.chains", "float32", (lanes, rows)))
    values = np.zeros(_COLUMNS * lanes, np.float32)

    def measure() -> float:
        threads = thread_count()
        out = np.zeros(_APART * threads, np.float32)
        start = time.perf_counter()
        kernel(values, out, _ROUNDS, threads)
        return threads * _ROUNDS * rows * _COLUMNS * lanes / (time.perf_counter() - start)

    measure()
    return measure


def make_copy(nbytes: int) -> Callable[[], float]:
    """Return a function that measures a copy that reads and writes `nbytes` together: bytes a second.

    Source and target are in use already, as the buffers of a run are. Ordinary stores are tried, and stores past the
    caches, which win on large arrays by what fetching the lines to be overwritten takes; the faster ones are measured.
    """
    size = max(1, nbytes // (8 * _LINE)) * _LINE
    values, out = make_aligned(size), make_aligned(size)
    values[:] = 1

    def make_measure(past_caches: int) -> Callable[[], float]:
        kernel = get_kernel(KernelSpec("peak.copy", "float32", (past_caches,)))

        def measure() -> float:
            threads = thread_count()
            start = time.perf_counter()
            kernel(values, out, threads)
            return 8 * size / (time.perf_counter() - start)

        return measure

    ways = [make_measure(way) for way in _WAYS]
    return max(ways, key=lambda way: max(way() for _ in range(4)))


def make_aligned(size: int) -> Array:
    """Return `size` zeros that begin at a cache line."""
    room = np.zeros(size + _LINE, np.float32)
    start = -room.ctypes.data % (4 * _LINE) // 4
    return room[start : start + size]


@register("peak.chains", parallel=True)
def make_chains(real: Any, lanes: int, rows: int) -> tuple[Any, Any]:
    """Make the kernel of ``rows`` x 2 chains a thread, ``v = v * a + a`` for `count` steps, in registers throughout."""
    block = Block(real, lanes, rows, _COLUMNS)

    def chains(values: Any, out: Any, count: Any, threads: Any) -> None:
        for i in prange(threads):
            scale = load_vectors(block, pointer(values, 0))
            total = add_columns(zeros(block), scale)
            for _ in range(count):
                total = scale_columns(total, scale, scale)
            places = make_places(block)
            for row in range(rows):
                places[row] = i * _APART + row * _COLUMNS * lanes
            store_voxels(total, pointer(out, 0), places, _COLUMNS)

    return chains, void(flat(real), flat(real, writable=True), int64, int64)


@register("peak.copy", parallel=True)
def make_copy_kernel(real: Any, past_caches: int) -> tuple[Any, Any]:
    """Make the kernel that copies `x` to `out`, both from a cache line on and whole lines long, a piece a thread."""
    stream = _make_stream(past_caches)

    def copy(x: Any, out: Any, threads: Any) -> None:
        lines = len(x) // _LINE
        for i in prange(threads):
            source, target = pointer(x, 0), pointer(out, 0)
            for line in range(lines * i // threads, lines * (i + 1) // threads):
                stream(target, source, line * _LINE)

    return copy, void(flat(real), flat(real, writable=True), int64)


def _make_stream(past_caches: int) -> Any:
    """Return the instruction that copies one cache line, past the caches or not."""

    def stream(_context: Any, target: Any, source: Any, _index: Any) -> Any:
        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), _LINE).as_pointer()
            to, come = (builder.bitcast(builder.gep(place, [args[2]]), vector) for place in args[:2])
            stored = builder.store(builder.load(come, align=4 * _LINE), to, align=4 * _LINE)
            if past_caches:
                stored.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))
            return context.get_dummy_value()

        return void(target, source, int64), build

    stream.__name__ = stream.__qualname__ = f"stream_{past_caches}"
    return intrinsic(stream)

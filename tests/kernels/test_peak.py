"""The machine's rates: the kernels do what they are timed for."""

import numpy as np
import pytest

from volconv.kernels import peak
from volconv.kernels.jit import KernelSpec, get_kernel, set_threads, thread_count


@pytest.mark.parametrize("spec", [spec for spec in peak.peak_specs() if spec.name == "peak.copy"])
@pytest.mark.parametrize("size", [16, 48, 16 * 1001])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_copy_copies(spec, size, threads):
    values, out = peak.make_aligned(size), peak.make_aligned(size)
    values[:] = np.arange(size)
    get_kernel(spec)(values, out, threads)
    assert np.array_equal(out, values)


def test_chains_compute_what_they_are_timed_for():
    """v = v*a + a from v = a: for a = 1/2 the sum of 2^-k, which tends to 1."""
    lanes, rows = peak._chain_shape()
    out = np.zeros(2 * 4096, np.float32)
    kernel = get_kernel(KernelSpec("peak.chains", "float32", (lanes, rows)))
    kernel(np.full(2 * lanes, 0.5, np.float32), out, 3, 2)
    sums = out.reshape(2, 4096)[:, : rows * 2 * lanes]
    assert (sums == 1 - 0.5**4).all()
    assert not out.reshape(2, 4096)[:, rows * 2 * lanes :].any()


def test_rates_are_plausible():
    threads = thread_count()
    try:
        set_threads(1)
        assert 1e8 < peak.make_peak()() < 1e12
        assert 1e7 < peak.make_copy(1 << 20)() < 1e13
    finally:
        set_threads(threads)


@pytest.mark.parametrize("size", [16, 160])
def test_aligned(size):
    array = peak.make_aligned(size)
    assert array.ctypes.data % 64 == 0
    assert array.shape == (size,)

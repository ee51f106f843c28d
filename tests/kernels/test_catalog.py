"""The choice of a kernel: from the layer alone, without numba, and within what the kernels can do."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.kernels import catalog
from volconv.kernels.catalog import ConvShape, Epilogue, choose_conv, conv_seconds, vector_bits
from volconv.kernels.catalog_memory import packed_bytes
from volconv.kernels.conv import bind_conv

shapes = st.builds(
    lambda groups, inputs, outputs, taps, dtype, step, phases: ConvShape(
        groups * inputs, groups * outputs, groups, taps, dtype, step, phases=phases
    ),
    st.integers(1, 8),
    st.integers(1, 40),
    st.integers(1, 300),
    st.integers(1, 100),
    st.sampled_from(["float32", "float64"]),
    st.integers(1, 4),
    st.sampled_from([1, 2, 8]),
)


@given(shapes, st.sampled_from([128, 256, 512]))
def test_blocks_fit_the_registers(shape, bits) -> None:
    kernel = choose_conv(shape, bits)
    assert kernel.lanes * shape.itemsize * 8 == bits
    operands = kernel.width if kernel.name in ("last", "phases", "depthwise") else kernel.block
    assert kernel.block * kernel.width + operands + 1 <= (32 if bits == 512 else 16)
    assert 0 <= kernel.tail <= kernel.block


@given(shapes, st.sampled_from([128, 256, 512]))
def test_vectors_of_channels_never_straddle_groups(shape, bits) -> None:
    kernel = choose_conv(shape, bits)
    if kernel.writes == "last":
        assert kernel.channel_multiple == kernel.lanes
        assert shape.groups == 1 or shape.group_outputs % kernel.lanes == 0
    else:
        assert kernel.channel_multiple == 1


@pytest.mark.parametrize("outputs", [1, 2, 3, 5, 6, 7, 8, 10, 21])
def test_few_channels_waste_nothing(outputs) -> None:
    kernel = choose_conv(ConvShape(3, outputs, 1, 27), 512)
    width = 1 if kernel.name == "rows" else kernel.width
    assert kernel.writes == "first"
    assert outputs % width == 0


def test_packed_bytes_are_those_of_a_bound_kernel() -> None:
    for shape in (
        ConvShape(5, 5, 1, 27),
        ConvShape(16, 90, 1, 8),
        ConvShape(4, 4, 4, 27, "float64"),
        ConvShape(48, 48, 48, 27),
    ):
        kernel = choose_conv(shape)
        weights = np.zeros((shape.out_channels, shape.group_inputs, shape.taps))
        bound = bind_conv(kernel, shape, weights, None, Epilogue())
        assert bound.nbytes <= packed_bytes(kernel, shape)


def test_time_grows_with_work_and_falls_with_threads() -> None:
    shape = ConvShape(32, 32, 1, 27)
    assert conv_seconds(shape, 10**6, 2) < conv_seconds(shape, 10**6, 1) < conv_seconds(shape, 10**7, 1)


@pytest.mark.parametrize(("value", "bits"), [("128", 128), ("100", vector_bits()), ("", vector_bits())])
def test_the_environment_narrows_vectors(monkeypatch, value, bits) -> None:
    monkeypatch.setenv("VOLCONV_VECTOR_BITS", value)
    assert vector_bits() == bits


def test_vectors_are_never_wider_than_the_processor(monkeypatch) -> None:
    monkeypatch.setattr(catalog, "_cpu_features", frozenset)
    monkeypatch.setenv("VOLCONV_VECTOR_BITS", "512")
    assert vector_bits() == 128
    assert not catalog.has_fma()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names features of x86-64")
@pytest.mark.parametrize(
    ("told", "fused"), [("+sse4.2,+avx", False), ("+avx2,+fma", True), ("", False), ("-fma", False)]
)
def test_what_numba_is_told_of_the_processor_decides(monkeypatch, told, fused) -> None:
    monkeypatch.setenv("NUMBA_CPU_FEATURES", told)
    assert catalog.has_fma() is fused


def test_planning_does_not_load_numba() -> None:
    code = "import sys, volconv.kernels.catalog as c; c.vector_bits(); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""What planning says kernels keep in memory is what they ask for, and what they ask for is what they use."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args, get_type_hints

import numpy as np
import pytest

from benchmarks.kernel_layers import LAYERS, Layer
from benchmarks.kernel_memory import measure_memory
from volconv.engine.nodes.registry import find_family
from volconv.engine.phases import list_phases, phase_reads
from volconv.kernels import jit
from volconv.kernels.catalog import ConvKernel, choose_conv, vector_bits
from volconv.kernels.catalog_memory import packed_bytes, scratch_bytes
from volconv.ops.conv3d import Conv3d
from volconv.ops.conv_transpose3d import ConvTranspose3d
from volconv.plan.buffers import conv_shape
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan

NAMES = [layer.name for layer in LAYERS]
FAMILIES = set(get_args(get_type_hints(ConvKernel)["name"]))


@pytest.fixture(autouse=True)
def threads_as_before():
    before = jit.thread_count()
    yield
    jit.set_threads(before)


def test_every_family_is_measured():
    assert {layer.family for layer in LAYERS} == FAMILIES
    for layer in LAYERS:
        assert choose_conv(layer.shape, 512).name == layer.family, layer.name


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layer", LAYERS, ids=NAMES)
def test_memory_is_what_planning_says(layer, threads):
    found = measure_memory(layer, threads)
    assert found.asked == found.predicted
    assert found.beyond == 0
    assert abs(found.kept - found.packed) <= 0.1 * found.kept
    if choose_conv(layer.shape).name == "sweep":  # how much of the room whole pieces take depends on the box
        for depth in range(96, 192, 8):
            if found.pages < 0.9 * found.predicted:
                found = measure_memory(replace(layer, size=(depth, *layer.size[1:])), threads)
    assert found.pages >= 0.9 * found.predicted


@pytest.mark.parametrize("family", ["winograd", "minimal", "pairs"])
def test_scratch_is_used_to_its_last_page(family):
    layer = next(layer for layer in LAYERS if layer.family == family)
    found = measure_memory(layer, 2)
    assert found.asked == found.predicted == 2 * scratch_bytes(choose_conv(layer.shape), layer.shape, 1)
    assert found.beyond == 0
    assert found.pages >= 0.95 * found.predicted


ONE = (1, 1, 1)
FORWARD = [
    *(Conv3d(i, o, (3, 3, 3), dilation=(1, 2, 1)) for i in (1, 3, 21, 40) for o in (1, 2, 5, 11, 13, 30, 70)),
    *(Conv3d(5, o, (3, 2, 4), stride) for o in (3, 11, 30, 100) for stride in (ONE, (1, 2, 2), (3, 3, 3))),
    *(Conv3d(i, o, (2, 3, 1), groups=g) for i, o, g in ((6, 10, 2), (6, 64, 2), (21, 21, 21), (48, 48, 48), (4, 8, 4))),
]
TRANSPOSED = [
    ConvTranspose3d(i, o, size, stride, dilation=dilation, groups=g)
    for (i, o, g), size, (stride, dilation) in product(
        [(3, 16, 1), (2, 30, 1), (4, 64, 2), (3, 5, 1), (6, 6, 6)],
        [ONE, (2, 2, 2), (3, 3, 3), (4, 3, 5)],
        [((2, 2, 2), ONE), ((1, 2, 3), (2, 1, 3))],
    )
]
MINIMAL = [
    *(Conv3d(i, o, (3, 3, 3), stride) for i, o in ((21, 30), (40, 90), (64, 24)) for stride in ((2, 2, 2), (1, 2, 2))),
    Conv3d(40, 30, (1, 3, 3)),
    Conv3d(21, 30, (4, 4, 3), (2, 2, 1)),
    ConvTranspose3d(21, 40, (3, 3, 3), (2, 2, 2)),
    ConvTranspose3d(21, 40, (4, 3, 4), (2, 2, 2)),
]
FACTORED = [Layer("", "sweep", Conv3d(n, n, size, groups=n), (30, 30, 30), "factored") for n in (1, 5) for size in
            ((9, 9, 9), (1, 21, 21))]  # fmt: skip
EVERY = [*(Layer("", "", op, (30, 30, 30)) for op in (*FORWARD, *TRANSPOSED, *MINIMAL)), *FACTORED]


@pytest.mark.parametrize("bits", [bits for bits in (512, 256, 128) if bits <= vector_bits()])
def test_weights_take_what_planning_says(monkeypatch, bits):
    monkeypatch.setattr(jit, "get_kernel", lambda _: None)  # bound, never run
    monkeypatch.setenv("VOLCONV_VECTOR_BITS", str(bits))
    seen = set()
    for layer in EVERY:
        graph = layer.graph()
        plan = make_plan(graph, budget=2**34, traffic=Traffic())
        kernel, shape = plan.kernels["layer"], layer.shape
        kept = find_family(graph.nodes[0]).bind(graph.nodes[0], plan).nbytes
        if kernel.name == "rows":  # and once more for two rows, when it is known how they lie
            kept += 2 * layer.op.out_channels * shape.group_inputs * int(np.prod(layer.op.kernel_size)) * 4
        assert packed_bytes(kernel, shape) == kept, layer
        seen.add(kernel.name)
    assert seen == FAMILIES


@pytest.mark.parametrize("op", TRANSPOSED)
def test_phases_that_read_the_same_inputs_are_told(op):
    shape = conv_shape(op, "float32")
    reads = [phase_reads(op, phase) for phase in list_phases(op)]
    assert sum(n for _, n in shape.kinds) == shape.phases == len(reads)
    assert sum(taps * n for taps, n in shape.kinds) == np.prod(op.kernel_size)
    assert len(shape.kinds) == len({part.tobytes() for part in reads})
    assert packed_bytes(choose_conv(shape), shape) <= packed_bytes(choose_conv(shape), replace(shape, kinds=()))

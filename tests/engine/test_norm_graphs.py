"""Graphs with norms and pools everywhere: however they are cut and wherever wires lie, the same bits."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volconv.engine.naive_engine import run_naive
from volconv.engine.relay import Relay
from volconv.formats.in_memory import ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.plan.cost import BASELINE_BYTES, Traffic
from volconv.plan.make import make_plan
from volconv.run import serial
from volconv.run.arrays import run_graph
from volconv.run.events import ignore
from volconv.spec.load import load_spec_mapping

BUDGET = 2**34


def conv(draw, channels, **more):
    size = draw(st.sampled_from([1, 3]))
    return {"op": "Conv3d", "kernel_size": size, "padding": size // 2, "out_channels": channels,
            "weight": {"init": "default", "seed": draw(st.integers(0, 9))}, **more}  # fmt: skip


def norm(draw, channels):
    affine = {"affine": True, "weight": {"init": "default", "seed": 0}} if draw(st.booleans()) else {"affine": False}
    eps = draw(st.sampled_from([1e-2, 0.5]))
    if draw(st.booleans()):
        return {"op": "InstanceNorm3d", "eps": eps, **affine}
    groups = draw(st.sampled_from([g for g in (1, 2, 3, channels) if channels % g == 0]))
    return {"op": "GroupNorm", "num_groups": groups, "eps": eps, **affine}


@st.composite
def specs(draw):
    """A chain of blocks, norms before and after convolutions, levels down and up with skips; perhaps a pool."""
    stages, skips = [], []
    if draw(st.booleans()):
        stages.append(norm(draw, 1))
    for _ in range(draw(st.integers(1, 3))):
        channels = draw(st.sampled_from([2, 16]))
        stages.append(conv(draw, channels, stride=draw(st.sampled_from([1, 1, 2]))))
        if draw(st.booleans()):
            stages.append({"op": "LeakyReLU"})
        stages.append(norm(draw, channels))
        if draw(st.booleans()):
            stages.append(draw(st.sampled_from([{"op": "SiLU"}, {"op": "Affine", "scale": 1.5}, {"op": "Identity"}])))
        if draw(st.booleans()):
            name = f"s{len(stages)}"
            skips.append(name)
            stages[-1] = {**stages[-1], "name": name}
            inner = [conv(draw, channels), norm(draw, channels)]
            stages += [*inner, {"op": "Add", "inputs": [name, f"i{len(stages) + 1}"]}]
            stages[-2] = {**stages[-2], "name": stages[-1]["inputs"][1]}
    outputs = skips[:1]
    if draw(st.integers(0, 3)) == 0:
        stages.append({"op": draw(st.sampled_from(["AdaptiveAvgPool3d", "AdaptiveMaxPool3d"])), "output_size": 1})
    stages[-1] = {**stages[-1], "name": "end"}
    outputs = [*[name for name in outputs if name != "end"], "end"]
    return {"volconv": 1, "dtype": draw(st.sampled_from(["float32", "float32", "float32", "float16"])),
            "stages": stages, "outputs": outputs}  # fmt: skip


class Collected:
    """A sink that keeps what it is given."""

    def __init__(self, wire, dtype):
        self.values = np.full((wire.channels, *wire.shape), np.nan, dtype)

    def write(self, region, values, batch):  # noqa: ARG002
        self.values[(slice(None), *region.slices())] = values


def run_spilled(graph, values, budget, folder, tile):
    """Run through the serial executor, what lies between phases in the scratch file where `budget` asks for it."""
    plan = make_plan(graph, budget=budget, traffic=Traffic(), threads=1, tile=tile, spill=True)
    engine = Relay(1, scratch=folder)
    engine.prepare(plan)
    dtype = "f8" if graph.input.dtype == "float64" else "f4"
    sinks = {name: [Collected(graph.wire(name), dtype)] for name in graph.outputs}
    serial.execute(plan, engine, ArraySource(values), sinks, ignore)
    engine.close()
    return plan, {name: sink.values for name, (sink,) in sinks.items()}


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(spec=specs(), shape=st.tuples(*[st.integers(3, 9)] * 3), tile=st.tuples(*[st.integers(2, 9)] * 3))
def test_every_way_gives_the_bits_of_the_whole(spec, shape, tile, tmp_path):
    parsed = load_spec_mapping(spec)
    plain = build_graph(parsed, Wire(shape, 1, parsed.dtype), make_loader(parsed))
    values = np.random.default_rng(1).standard_normal((1, *shape)).astype("f8" if parsed.dtype == "float64" else "f4")
    graph = optimise(plain)
    whole = run_graph(graph, ArraySource(values), BUDGET, 1, "whole")
    found = run_graph(graph, ArraySource(values), BUDGET, 2, tile)
    assert {name: found[name].tobytes() for name in found} == {name: whole[name].tobytes() for name in whole}
    _, serially = run_spilled(graph, values, BUDGET, tmp_path, (3, 9, 5))
    assert {name: serially[name].tobytes() for name in serially} == {name: whole[name].tobytes() for name in whole}
    exact = run_naive(plain, values)
    for name, result in whole.items():
        if parsed.dtype != "float16":
            eps = np.finfo(result.dtype).eps
            assert np.abs(result - exact[name]).max() <= 2e5 * eps * max(1, np.abs(exact[name]).max())


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_wires_on_disk_give_the_bits_of_wires_in_memory(dtype, tmp_path):
    stages = [
        {"op": "Conv3d", "name": "a", "kernel_size": 3, "padding": 1, "out_channels": 16,
         "weight": {"init": "default", "seed": 0}},
        {"op": "InstanceNorm3d", "name": "n"},
        {"op": "Conv3d", "name": "b", "kernel_size": 3, "padding": 1, "out_channels": 16,
         "weight": {"init": "default", "seed": 1}},
        {"op": "GroupNorm", "num_groups": 2, "affine": False}, {"op": "Add", "inputs": ["GroupNorm", "n"]},
    ]  # fmt: skip
    spec = load_spec_mapping({"volconv": 1, "dtype": dtype, "stages": stages})
    graph = optimise(build_graph(spec, Wire((33, 34, 35), 1, dtype), make_loader(spec)))
    values = np.random.default_rng(0).standard_normal((1, 33, 34, 35)).astype(dtype)
    plan, found = run_spilled(graph, values, BASELINE_BYTES + 2**19 * np.dtype(dtype).itemsize, tmp_path, (8, 16, 35))
    assert [s.offset is not None for s in plan.stores] == [True, True]
    assert not list(tmp_path.iterdir())
    whole = run_graph(graph, ArraySource(values), BUDGET, 1, "whole")
    assert found["Add"].tobytes() == whole["Add"].tobytes()

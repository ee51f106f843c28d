"""Factored filters in the engine: one sweep gives the bits of the chain of passes, however the volume is cut."""

from __future__ import annotations

import numpy as np
import pytest

from volconv.formats.in_memory import ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes.factor import factor_filters
from volconv.graph.passes.fuse import fuse_epilogues
from volconv.ops.base import Wire
from volconv.run.arrays import run_graph
from volconv.spec.load import load_spec_mapping

BUDGET = 2**34
CASES = [
    ("zeros", (5, 9, 7), (2, 4, 3), 1, 1, "float32"),
    ("zeros", (9, 9, 1), (12, 0, 0), 2, 1, "float32"),
    ("reflect", (9, 7, 11), (8, 5, 10), 1, 2, "float32"),
    ("replicate", (1, 21, 21), (0, 10, 10), 2, 1, "float64"),
    ("replicate", (9, 9, 9), (11, 12, 13), 1, 1, "float32"),
    ("circular", (7, 11, 9), (3, 10, 8), 3, 1, "float32"),
]


def graph_of(stages, wire):
    spec = load_spec_mapping(
        {"volconv": 1, "dtype": wire.dtype, "input": {"channels": wire.channels}, "stages": stages, "outputs": ["last"]}
    )
    return build_graph(spec, wire, make_loader(spec))


def stage_of(mode, lengths, padding, channels, filters, dtype, **more):
    rng = np.random.default_rng(5)
    taps = np.einsum("fd,fh,fw->fdhw", *(rng.standard_normal((channels * filters, n)) for n in lengths))
    return {
        "op": "Conv3d", "groups": channels, "out_channels": channels * filters, "kernel_size": list(lengths),
        "padding": list(padding), "padding_mode": mode, "weight": taps[:, None].astype(dtype).tolist(), **more,
    }  # fmt: skip


def check(stages, wire, tiles, nodes):
    graph = graph_of(stages, wire)
    swept, chained = (fuse_epilogues(factor_filters(graph, sweep)) for sweep in (True, False))
    assert [node.algorithm for node in swept.nodes] == nodes
    x = np.random.default_rng(6).standard_normal((wire.channels, *wire.shape)).astype(wire.dtype)
    x[0, 5, 4, 3], x[-1, 9, 9, 9] = np.inf, np.nan
    expected = run_graph(chained, ArraySource(x), BUDGET, 2, "whole")["last"]
    for n, tile in enumerate(tiles):
        found = run_graph(swept, ArraySource(x), BUDGET, 1 + n % 2, tile)["last"]
        np.testing.assert_array_equal(found, expected, str(tile))


@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_the_chain(case):
    mode, lengths, padding, channels, filters, dtype = case
    stage = stage_of(mode, lengths, padding, channels, filters, dtype, name="f", bias=[0.5] * channels * filters)
    stages = [stage, {"op": "Affine", "scale": 0.75}, {"op": "LeakyReLU", "negative_slope": 0.1, "name": "last"}]
    wire = Wire((21, 26, 33), channels, dtype)
    check(stages, wire, ["whole", "whole", (7, 9, 10), (40, 5, 16), (3, 30, 4)], ["factored"])


@pytest.mark.parametrize("mode", ["zeros", "replicate"])
def test_a_wire_read_by_a_sweep_and_by_others_has_the_borders_each_wants(mode):
    """One reader finds borders in the buffer, the other looks up what stands for them; their kinds may differ."""
    swept = stage_of(mode, (5, 7, 5), (2, 3, 2), 1, 1, "float32", name="a", input="input")
    plain = {
        "op": "Conv3d", "name": "b", "input": "input", "kernel_size": 3, "padding": 1, "padding_mode": "replicate",
        "out_channels": 1, "weight": {"init": "default", "seed": 1},
    }  # fmt: skip
    again = stage_of("reflect", (7, 5, 5), (3, 2, 2), 1, 1, "float32", name="c", input="s")
    stages = [swept, plain, {"op": "Add", "name": "s", "inputs": ["a", "b"]}, again]
    stages.append({"op": "Add", "name": "last", "inputs": ["c", "s"]})
    wire = Wire((20, 22, 24), 1, "float32")
    check(stages, wire, ["whole", (6, 7, 9), (30, 4, 5)], ["factored", "direct", "direct", "factored", "direct"])

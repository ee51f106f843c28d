"""Sums that convolutions make: the bytes of sums apart, whatever stands before and behind them."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from volconv.engine.naive_engine import run_naive
from volconv.formats.in_memory import ArraySource
from volconv.graph.build import build_graph, make_loader
from volconv.graph.passes import optimise
from volconv.ops.base import Wire
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan
from volconv.run.arrays import run_graph
from volconv.spec.load import load_spec_mapping

from .test_same_bits import CLIP, LEAKY, RELU, SILU, conv, norm, up

BUDGET = 2**34
BEFORE = ([], ["norm"], [RELU], ["norm", LEAKY], [CLIP])
BEHIND = ([], [RELU], [CLIP])


@dataclass(frozen=True)
class Kind:
    """An input's shape, the stages up to the convolution, its channels, and the stage that is added to it."""

    shape: tuple[int, int, int, int]
    stages: tuple[dict, ...]
    channels: int
    other: str = "skip"


def skip(outputs, **more):
    return {**conv(outputs, 1, **more), "name": "skip"}


DOWN = conv(30, 2, stride=2, padding=0)
KINDS = {
    "last": Kind((3, 4, 5, 21), (skip(30), conv(30, 1)), 30),
    "winograd": Kind((5, 5, 6, 21), (skip(30), conv(30)), 30),
    "pairs": Kind((5, 5, 6, 70), (conv(5),), 5, "input"),
    "phases": Kind((5, 6, 8, 22), (skip(30), DOWN, up(30, 2)), 30),
}
MORE_KINDS = {
    **KINDS,
    "last, stride 2": Kind(
        (5, 6, 8, 21), (skip(30, stride=2, padding=0), conv(30, 3, stride=2, padding=1, input="input")), 30,
    ),
    "last, grouped": Kind((6, 4, 5, 21), (skip(64), conv(64, 1, groups=2)), 64),
    "winograd, dilated": Kind((5, 6, 6, 21), (skip(30), conv(30, dilation=2, padding_mode="replicate")), 30),
    "pairs, dilated": Kind((5, 7, 6, 40), (conv(5, dilation=[3, 1, 2], padding_mode="circular"),), 5, "input"),
    "phases of three": Kind(
        (5, 6, 8, 22), (skip(30), conv(5, 2, stride=2, padding=0), up(30, padding=1, output_padding=1)), 30
    ),
    "minimal": Kind((21, 6, 8, 22), (skip(30, stride=2, padding=0), conv(30, stride=2, padding=1, input="input")), 30),
    "minimal, transposed": Kind((5, 6, 8, 22), (skip(30), DOWN, up(30, padding=1, output_padding=1)), 30),
    "phase by phase": Kind((5, 6, 8, 22), (skip(5), DOWN, up(5, padding=1, output_padding=1)), 5),
    "phase by phase to one": Kind((1, 6, 8, 22), (DOWN, up(1, 2)), 1, "input"),
    "first": Kind((5, 5, 6, 70), (conv(5, 1),), 5, "input"),
    "first, stride 2": Kind(
        (5, 6, 6, 70), (skip(5, stride=2, padding=0), conv(5, stride=2, padding=1, input="input")), 5
    ),
    "rows": Kind((1, 5, 6, 70), (conv(1),), 1, "input"),
    "depthwise": Kind((48, 5, 6, 21), (skip(48), conv(48, groups=48)), 48),
}  # fmt: skip


def graph_of(kind, before, behind, swapped, dtype, outputs=()):
    """The graph of a sum between two chains, after its passes."""
    stages = [*kind.stages, *(norm(kind.channels) if part == "norm" else part for part in before)]
    stages = [{"name": f"s{n}", **stage} for n, stage in enumerate(stages)]
    pair = [stages[-1]["name"], kind.other]
    stages.append({"op": "Add", "name": "sum", "inputs": pair[::-1] if swapped else pair})
    stages += [{**part, "name": f"b{n}"} for n, part in enumerate(behind)]
    wanted = [stages[-1]["name"], *(stages[-1 - len(behind) - 1]["name"] for _ in outputs)]
    spec = load_spec_mapping(
        {"volconv": 1, "input": {"channels": kind.shape[0]}, "dtype": dtype, "stages": stages, "outputs": wanted}
    )
    return build_graph(spec, Wire(kind.shape[1:], kind.shape[0], dtype, spacing_mm=(1.0,) * 3), make_loader(spec))


def values_of(shape, dtype, spoilt):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    if spoilt:
        x[0, 1, 2, 3:9], x[0, 1, 2, 4:8:2] = np.nan, -np.nan  # sums of NaN of both signs
        x[-1, -1, -2, -4], x[0, -1, -1, -5] = np.inf, -np.inf
    return x


def check(kind, before, behind, swapped, dtype, spoilt, tile, threads):
    graph = optimise(graph_of(kind, before, behind, swapped, dtype))
    apart = optimise(graph_of(kind, before, behind, swapped, dtype, outputs=("head",)))
    (name,) = graph.outputs
    assert make_plan(graph, budget=BUDGET, traffic=Traffic()).graph.node(name).residual == 1
    assert all(node.residual is None for node in make_plan(apart, budget=BUDGET, traffic=Traffic()).graph.nodes)
    x = ArraySource(values_of(kind.shape, dtype, spoilt))
    with np.errstate(invalid="ignore", over="ignore"):
        want = run_graph(apart, x, BUDGET, 1, "whole")[name]
        assert run_graph(graph, x, BUDGET, threads, tile)[name].tobytes() == want.tobytes()


def may_be_fused(drawn):
    """Whether one epilogue holds both chains: one activation at most."""
    before, behind = drawn
    return not behind or all(part == "norm" for part in before)


chains = st.tuples(st.sampled_from(BEFORE), st.sampled_from(BEHIND)).filter(may_be_fused)
tiles = st.one_of(st.just("whole"), st.tuples(*[st.integers(1, 9)] * 3))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(KINDS)), chains, st.booleans(), st.booleans(), tiles, st.integers(1, 2))
def test_a_sum_made_by_its_convolution_has_the_bytes_of_one_apart(name, chain, swapped, spoilt, tile, threads):
    check(KINDS[name], *chain, swapped, "float32", spoilt, tile, threads)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MORE_KINDS)
def test_a_sum_made_by_its_convolution_has_the_bytes_of_one_apart_at_length(name, dtype):
    some = st.tuples(st.sampled_from(BEFORE), st.sampled_from([*BEHIND, [SILU]])).filter(may_be_fused)

    @settings(max_examples=60, deadline=None)
    @example((["norm"], [SILU]), False, True, (3, 4, 7), 2)
    @given(some, st.booleans(), st.booleans(), tiles, st.integers(1, 2))
    def any_chain(chain, swapped, spoilt, tile, threads):
        check(MORE_KINDS[name], *chain, swapped, dtype, spoilt, tile, threads)

    any_chain()


@pytest.mark.parametrize("name", KINDS)
def test_a_sum_made_by_its_convolution_is_its_naive_twin(name):
    kind = KINDS[name]
    graph = graph_of(kind, ["norm"], [RELU], False, "float32")
    fused = make_plan(optimise(graph), budget=BUDGET, traffic=Traffic()).graph
    x = values_of(kind.shape, "float32", False)
    (output,) = graph.outputs
    exact = run_naive(graph, x)[output]
    np.testing.assert_array_equal(run_naive(fused, x)[output], exact)
    found = run_graph(optimise(graph), ArraySource(x), BUDGET, 2)[output]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5 * np.abs(exact).max())

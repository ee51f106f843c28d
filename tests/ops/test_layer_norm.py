import numpy as np
import pytest

from volconv.engine.naive_engine import run_naive
from volconv.errors import ShapeError
from volconv.formats.in_memory import ArraySource
from volconv.ops.base import Wire
from volconv.ops.layer_norm import LayerNorm
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import BUDGET, Case, OpContract

SHAPE = (4, 5, 19)


class TestLayerNorm(OpContract):
    cases = (
        *(Case(LayerNorm(channels), SHAPE, channels) for channels in (1, 2, 3, 17, 64)),
        Case(LayerNorm(5, 0.1, bias=False), SHAPE, 5),
        Case(LayerNorm(5, 1e-6, weight=False, bias=False), (1, 2, 150), 5),
    )


def test_as_many_channels_as_it_has_weights():
    with pytest.raises(ShapeError, match="input of 3 channels, expected normalized_shape = 4"):
        LayerNorm(4).out_wire((Wire(SHAPE, 3),))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mean", [0.0, 10.0, 1000.0])
@pytest.mark.parametrize("channels", [2, 16, 96])
def test_error_stays_in_the_bound(channels, mean, dtype):
    """The bound: 4 eps sqrt(C) times the largest |x| of a voxel over its deviation, times |weight|; and the bias's."""
    case = Case(LayerNorm(channels), (3, 4, 50), channels)
    graph, eps = case.graph(dtype), np.finfo(dtype).eps
    values = (case.values(dtype) + mean).astype(dtype)
    expected = run_naive(graph, values)["op"]
    found = run_graph(graph, ArraySource(values), BUDGET, 2, "whole")["op"]
    exact = values.astype("f8")
    deviation = np.sqrt(exact.var(axis=0) + 1e-5)
    weight, bias = (np.abs(graph.node("op").tensors[n].astype("f8"))[:, None, None, None] for n in ("weight", "bias"))
    scale = np.abs(exact).max(axis=0) / deviation
    spread = np.abs((exact - exact.mean(axis=0)) / deviation)
    bound = 4 * eps * np.sqrt(channels) * weight * scale * (1 + spread) + 2 * eps * bias
    assert (np.abs(found - expected) <= bound).all()

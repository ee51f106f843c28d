"""What is folded into the store of the stage before it, and what must not be: norms and sums."""

import numpy as np
import pytest

from volconv.api.pipeline import load

from .test_passes import CONV, graph_of

NORM = {"op": "BatchNorm3d", "weight": [2.0, 0.5], "bias": [1.0, -1.0],
        "tensors": {"running_mean": [0.5, -3.0], "running_var": [2.0, 0.1]}}  # fmt: skip


@pytest.mark.parametrize("kind", ["Conv3d", "ConvTranspose3d"])
def test_a_norm_and_an_activation_are_folded_into_the_convolution_before_them(kind):
    graph = graph_of([{**CONV, "op": kind}, NORM, {"op": "ReLU", "name": "last"}])
    (node,) = graph.nodes
    assert [part.op_name for part in node.epilogue] == ["BatchNorm3d", "ReLU"]


def test_a_norm_and_an_affine_are_two():
    assert [n.name for n in graph_of([CONV, NORM, {"op": "Affine", "scale": 2}]).nodes] == ["BatchNorm3d", "Affine"]


def test_a_norm_before_a_padded_convolution_stays_a_stage():
    """Folded into the weights it would pad with what the norm makes of its own zero, not with zeros."""
    stages = [NORM, {**CONV, "padding": 1, "bias": False}]
    graph = graph_of(stages, channels=2)
    assert [node.name for node in graph.nodes] == ["BatchNorm3d", "Conv3d"]
    conv = graph.nodes[1]
    pipe = load({"volconv": 1, "dtype": "float64", "input": {"channels": 2}, "stages": stages})
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 7))
    scale = np.array([2, 0.5]) / np.sqrt(np.array([2, 0.1]) + 1e-5)
    shift = np.array([1.0, -1.0]) - np.array([0.5, -3.0]) * scale
    normed = x * scale[:, None, None, None] + shift[:, None, None, None]
    weight = conv.tensors["weight"].astype("f8")
    padded = np.pad(normed, ((0, 0), *[(1, 1)] * 3))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3), (1, 2, 3))
    expected = np.einsum("cdhwijk,ocijk->odhw", windows, weight)
    found = pipe(x)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    folded = np.pad(x, ((0, 0), *[(1, 1)] * 3))
    windows = np.lib.stride_tricks.sliding_window_view(folded, (3, 3, 3), (1, 2, 3))
    wrong = np.einsum("cdhwijk,ocijk->odhw", windows, weight * scale[:, None, None, None])
    wrong += np.einsum("c,ocijk->o", shift, weight)[:, None, None, None]
    np.testing.assert_allclose(wrong[:, 1:-1, 1:-1, 1:-1], found[:, 1:-1, 1:-1, 1:-1], rtol=1e-5, atol=1e-5)
    assert np.abs(wrong - found).max() > 0.1


def test_a_sum_takes_what_follows_it_and_is_taken_by_nothing():
    stages = [CONV, {**CONV, "name": "b", "input": "input"}, {"op": "Add", "inputs": ["Conv3d", "b"]}, NORM,
              {"op": "ReLU", "name": "last"}]  # fmt: skip
    graph = graph_of(stages)
    assert [node.name for node in graph.nodes] == ["Conv3d", "b", "last"]
    assert [part.op_name for part in graph.nodes[2].epilogue] == ["BatchNorm3d", "ReLU"]
    assert graph.nodes[2].inputs == ("b", "Conv3d")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_folded_or_not_the_bits_are_the_same(dtype):
    stages = [{**CONV, "name": "c"}, {**NORM, "name": "n"}, {"op": "SiLU", "name": "s"},
              {"op": "Add", "inputs": ["s", "s"], "name": "a"}, {**NORM, "name": "m"},
              {"op": "ReLU", "name": "r"}]  # fmt: skip
    x = np.random.default_rng(0).standard_normal((1, 8, 9, 10))
    spec = {"volconv": 1, "dtype": dtype, "stages": stages}
    alone = load(spec)(x)
    every = load({**spec, "outputs": ["c", "n", "s", "a", "m", "r"]})(x)
    assert every["r"].tobytes() == alone.tobytes()

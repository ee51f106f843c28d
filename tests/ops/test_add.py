import ml_dtypes
import numpy as np
import pytest

import volconv
from volconv.errors import ShapeError
from volconv.formats.in_memory import ArraySource
from volconv.graph.model import INPUT, Graph, Node
from volconv.ops.add import Add
from volconv.ops.base import Wire
from volconv.run.arrays import run_graph
from volconv.testing.op_contract import Case, OpContract

SHAPE = (4, 5, 19)
HERE = Wire(SHAPE, 3)


class TestAdd(OpContract):
    cases = tuple(Case(Add(), SHAPE, channels, inputs=n) for channels, n in ((3, 2), (1, 3), (17, 5)))


def test_one_input_is_too_few():
    with pytest.raises(ShapeError, match="1 inputs, expected at least 2"):
        Add().out_wire((HERE,))


def test_channels_and_sizes_have_to_agree():
    with pytest.raises(ShapeError, match="inputs of 3, 1 channels"):
        Add().out_wire((HERE, Wire(SHAPE, 1)))
    with pytest.raises(ShapeError, match="input 1 of 4 x 5 x 19 voxels and input 3 of 4 x 5 x 18"):
        Add().out_wire((HERE, HERE, Wire((4, 5, 18), 3)))
    with pytest.raises(ShapeError, match="input 1 in float32 and input 2 in float64"):
        Add().out_wire((HERE, Wire(SHAPE, 3, "float64")))


def test_sums_are_made_in_the_order_of_the_inputs():
    x = np.array([2.0**25, 1.0, -(2.0**25)], np.float32).reshape(3, 1, 1, 1)

    def sum_of(*order):
        wire = Wire((1, 1, 3), 1)
        nodes = [Node(f"s{n}", "Add", Add(), ins, wire) for n, ins in enumerate(order)]
        graph = Graph(wire, tuple(nodes), (nodes[-1].name,))
        return run_graph(graph, ArraySource(x.reshape(1, 1, 1, 3)), 2**34, 1)[graph.outputs[0]]

    twice = sum_of((INPUT, INPUT))
    np.testing.assert_array_equal(twice, 2 * x.reshape(1, 1, 1, 3))
    left = sum_of((INPUT, INPUT), (INPUT, "s0", INPUT))
    np.testing.assert_array_equal(left, (x + 2 * x + x).reshape(1, 1, 1, 3))


@pytest.mark.parametrize(("name", "kind"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)])
def test_a_sum_of_halves_is_rounded_once(name, kind):
    stages = [{"op": "Affine", "scale": 0.3, "name": "a"}, {"op": "Add", "inputs": ["a", "input"], "name": "two"},
              {"op": "Add", "inputs": ["a", "input", "two"], "name": "three"}]  # fmt: skip
    spec = {"volconv": 1, "dtype": name, "stages": stages, "outputs": ["a", "two", "three"]}
    x = np.random.default_rng(0).standard_normal((1, 5, 6, 7)).astype(kind)
    found = volconv.load(spec)(x.astype("f4"), tile=(2, 6, 3))
    a = found["a"].astype(kind)
    np.testing.assert_array_equal(found["two"], (a + x).astype("f4"))
    exact = found["a"] + x.astype("f4") + found["two"]
    np.testing.assert_array_equal(found["three"], exact.astype(kind).astype("f4"))

"""From array to array: the engine reads and writes memory of the caller's, and nothing beside it."""

from itertools import pairwise

import numpy as np
import pytest

from volconv.engine.ends import Ends, is_readable, view_array
from volconv.engine.numba_engine import NumbaEngine
from volconv.graph.model import INPUT, Graph, Node
from volconv.graph.passes.algorithms import choose_algorithms
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.ops.conv_transpose3d import ConvTranspose3d
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan

RNG = np.random.default_rng(5)
MARK = 77.5
ONE = (1, 1, 1)
OPS = {
    "first": Conv3d(2, 3, (3, 3, 3), ONE, ONE, ONE),
    "first, large steps": Conv3d(2, 3, (3, 3, 3), (2, 1, 2), ONE, ONE),
    "depthwise": Conv3d(4, 4, (3, 3, 3), ONE, ONE, ONE, ONE, 4),
    "pairs": Conv3d(8, 8, (3, 3, 3), ONE, ONE, ONE),
    "last": Conv3d(3, 32, (1, 1, 1)),
    "winograd": Conv3d(16, 16, (3, 3, 3), ONE, ONE, ONE),
    "minimal": Conv3d(21, 30, (3, 3, 3), (2, 2, 2), ONE, ONE),
    "minimal, transposed": ConvTranspose3d(21, 40, (3, 3, 3), (2, 2, 2), ONE),
    "transposed": ConvTranspose3d(3, 2, (2, 2, 2), (2, 2, 2)),
}


def make_graph(op, shape):
    wire = Wire(shape, op.in_channels)
    tensors = {name: RNG.standard_normal(s).astype("f4") for name, s in op.tensor_shapes().items()}
    return choose_algorithms(Graph(wire, (Node("op", "op", op, (INPUT,), op.out_wire((wire,)), tensors),), ("op",)))


@pytest.mark.slow
@pytest.mark.parametrize("tile", [None, (3, 4, 5)])
@pytest.mark.parametrize("op", list(OPS.values()), ids=list(OPS))
def test_nothing_is_written_beside_the_result(op, tile):
    graph = make_graph(op, (6, 7, 19))
    plan = make_plan(graph, budget=2**34, traffic=Traffic(), tile=tile)
    engine = NumbaEngine(2)
    engine.prepare(plan)
    wire = graph.wire("op")
    volume = RNG.standard_normal((op.in_channels, 6, 7, 19)).astype("f4")
    taken = np.empty((wire.channels, *wire.shape), "f4")

    def read(region, out):
        out[...] = volume[:, *region.slices()]

    def write(_, region, values):
        taken[:, *region.slices()] = values

    for tile_ in plan.tiles:
        engine.run_tile(tile_, read, write)
    for source in (volume, np.asfortranarray(volume), None):
        memory = np.full(taken.size + 512, MARK, "f4")
        result = memory[256:-256].reshape(taken.shape)
        for tile_ in plan.tiles:
            engine.run_between(tile_, Ends(source, {"op": result}), read)
        np.testing.assert_array_equal(result, taken)
        assert (memory[:256] == MARK).all()
        assert (memory[-256:] == MARK).all()


@pytest.mark.parametrize(("op", "copied"), [("last", False), ("first", True)])
def test_an_input_without_borders_is_read_where_it_lies(op, copied):
    graph = make_graph(OPS[op], (4, 5, 19))
    plan = make_plan(graph, budget=2**34, traffic=Traffic())
    engine = NumbaEngine(1)
    engine.prepare(plan)
    engine.arena.flat[...] = MARK
    wire, volume = graph.wire("op"), np.ones((OPS[op].in_channels, 4, 5, 19), "f4")
    (tile,) = plan.tiles
    engine.run_between(tile, Ends(volume, {"op": np.empty((wire.channels, *wire.shape), "f4")}), None)
    view = engine.arena.view(INPUT, tile.cell)
    assert (engine.arena.array(view) != MARK).any() == copied


def test_a_view_spans_the_memory_of_its_array_alone():
    whole = np.arange(3 * 4 * 5 * 6, dtype="f4").reshape(3, 4, 5, 6)
    for part in (whole, whole[1:, ::2, ::-1, 1:5], whole.transpose(3, 1, 2, 0)[::-1], whole[:1, :1, :1, :1]):
        view = view_array(part)
        for place in np.ndindex(part.shape):
            assert view.flat[view.at(place[1:]) + place[0] * view.steps[0]] == part[place]
        assert view.flat[0] == part.min()
        assert view.flat[-1] == part.max()


def test_what_kernels_cannot_read_is_left_to_the_reader():
    x = np.zeros((1, 2, 3, 4), "f4")
    f4 = np.dtype("f4")
    assert is_readable(x, f4)
    odd = np.zeros(x.nbytes + 1, np.uint8)[1:].view("f4").reshape(x.shape)
    records = np.zeros((1, 2, 3, 4), [("a", "i2"), ("b", "f4")])["b"]
    for other in (x.astype("f8"), x.astype(">f4"), x.astype("i4"), odd, records):
        assert not is_readable(other, f4)


def test_an_output_that_others_read_is_copied():
    ops = [Conv3d(1, 2, (3, 3, 3), ONE, ONE, ONE), Conv3d(2, 2, (3, 3, 3), ONE, ONE, ONE)]
    names = (INPUT, "a", "b")
    wire = Wire((5, 6, 7), 1)
    nodes = []
    for op, (before, name) in zip(ops, pairwise(names), strict=True):
        tensors = {key: RNG.standard_normal(shape).astype("f4") for key, shape in op.tensor_shapes().items()}
        wire_in = wire if before == INPUT else nodes[-1].wire
        nodes.append(Node(name, name, op, (before,), op.out_wire((wire_in,)), tensors))
    graph = Graph(wire, tuple(nodes), ("b", "a", INPUT))
    volume = RNG.standard_normal((1, 5, 6, 7)).astype("f4")
    found = []
    for tile in (None, (2, 3, 4)):
        plan = make_plan(graph, budget=2**34, traffic=Traffic(), tile=tile)
        engine = NumbaEngine(2)
        engine.prepare(plan)
        results = {name: np.full((graph.wire(name).channels, 5, 6, 7), np.nan, "f4") for name in graph.outputs}
        for part in plan.tiles:
            engine.run_between(part, Ends(volume, results), lambda *_: None)
        np.testing.assert_array_equal(results[INPUT], volume)
        found.append(results)
    for name in graph.outputs:
        assert np.isfinite(found[0][name]).all()
        np.testing.assert_array_equal(found[0][name], found[1][name])

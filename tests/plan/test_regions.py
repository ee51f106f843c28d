"""The backward interval rule: what a tile reads is enough, and never more than the wire has."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from volconv.graph.model import INPUT, Graph, Node
from volconv.ops.base import Local, Wire, inside, source_index
from volconv.ops.conv3d import Conv3d
from volconv.ops.conv_transpose3d import ConvTranspose3d
from volconv.ops.identity import Identity
from volconv.plan.buffers import choose_kernels, lay_out
from volconv.plan.cost import cut_axis
from volconv.plan.regions import hull

MODES = ("zeros", "reflect", "replicate", "circular")


def test_hull_ignores_what_is_empty():
    assert hull((3, 3), (5, 8)) == (5, 8)
    assert hull((5, 8), (9, 2)) == (5, 8)
    assert hull((1, 3), (7, 9)) == (1, 9)


@given(st.integers(1, 12), st.integers(-30, 30), st.integers(0, 40), st.sampled_from(MODES))
def test_inside_holds_every_voxel_the_mode_asks_for(length, start, size, mode):
    a, b = inside((start, start + size), length, mode)
    assert 0 <= a <= b <= length
    index = np.arange(start, start + size)
    wanted = index[(index >= 0) & (index < length)] if mode == "zeros" else source_index(index, length, mode)
    assert all(a <= i < b for i in wanted)


@given(st.integers(1, 9), st.integers(-20, 20))
def test_source_index_is_numpys_pad(length, index):
    line = np.arange(length)
    for mode, name in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        padded = np.pad(line, 20, mode=name)
        assert source_index(np.array([index]), length, mode)[0] == padded[index + 20] or abs(index) > 20


@st.composite
def chains(draw):
    wire = Wire((draw(st.integers(6, 14)), 6, 6), 1)
    graph_input, nodes = wire, []
    for n in range(draw(st.integers(1, 4))):
        source = draw(st.sampled_from([INPUT, *(node.name for node in nodes)]))
        here = graph_input if source == INPUT else next(node.wire for node in nodes if node.name == source)
        k, s, d, p = (draw(st.integers(1, 3)) for _ in range(4))
        one = (1, 1)
        if draw(st.booleans()):
            mode = draw(st.sampled_from(MODES))
            op = Conv3d(1, 1, (k, *one), (s, *one), (p, 0, 0), (p, 0, 0), (d, *one), padding_mode=mode)
        else:
            op = ConvTranspose3d(1, 1, (k, *one), (s, *one), (min(p, 1), 0, 0), (min(p, 1), 0, 0), dilation=(d, *one))
        try:
            out = op.out_wire((here,))
        except ValueError:
            continue
        rng = np.random.default_rng(n)
        tensors = {name: rng.standard_normal(shape) for name, shape in op.tensor_shapes().items()}
        nodes.append(Node(f"n{n}", "op", op, (source,), out, tensors))
    outputs = tuple(dict.fromkeys([nodes[-1].name, draw(st.sampled_from(nodes)).name])) if nodes else (INPUT,)
    return Graph(graph_input, tuple(nodes), outputs), draw(st.integers(1, 5))


@settings(max_examples=150, deadline=None)
@given(chains())
def test_windows_stay_inside_and_cover_the_outputs(drawn):
    graph, count = drawn
    layouts = lay_out(graph, choose_kernels(graph))
    length = graph.wire(graph.outputs[0]).shape[0]
    edges = tuple(length * i // count for i in range(count + 1))
    if len(set(edges)) != len(edges):
        return
    cut = cut_axis(graph, layouts, 0, edges)
    for name in graph.outputs:
        written = [0] * graph.wire(name).shape[0]
        for cell in range(count):
            window = cut.windows[cell][layouts.exports[name]]
            size = graph.wire(name).shape[0]
            share = (edges[cell] * size // length, edges[cell + 1] * size // length)
            assert share[0] >= share[1] or (window.inner[0] <= share[0] and share[1] <= window.inner[1])
            for i in range(*share):
                written[i] += 1
        assert written == [1] * len(written)
    for windows in cut.windows:
        for name, window in windows.items():
            size = graph.wire(layouts.buffers[name].wire).shape[0]
            assert 0 <= window.inner[0] <= window.inner[1] <= size
            assert hull(window.box, window.inner) == window.box


@dataclass(frozen=True)
class Difference(Local):
    """Reads input 0 where it writes, and input 1 a voxel further on and two wide."""

    kernel: ClassVar[str] = "add"

    def out_wire(self, inputs):
        return inputs[0]

    def in_interval_of(self, index, axis, out):
        return (out[0] + index, out[1] + 2 * index) if axis == 0 else out


def test_inputs_may_be_read_differently():
    wire = Wire((10, 4, 4), 1)
    nodes = [Node(name, "Identity", Identity(), (INPUT,), wire) for name in "ab"]
    graph = Graph(wire, (*nodes, Node("d", "op", Difference(), ("a", "b"), wire)), ("d",))
    layouts = lay_out(graph, {})
    windows = cut_axis(graph, layouts, 0, (0, 4, 10)).windows
    assert [w["a"].inner for w in windows] == [(0, 4), (4, 10)]
    assert [w["b"].inner for w in windows] == [(1, 6), (5, 10)]
    assert [w[INPUT].inner for w in windows] == [(0, 6), (4, 10)]
    assert windows[1]["b"].box == (5, 12)

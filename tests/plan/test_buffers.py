"""Buffers of stages with several inputs: which layout, and who gets a copy."""

from dataclasses import replace

import pytest

from volconv.graph.model import INPUT, Graph, Node
from volconv.kernels.catalog import ConvKernel
from volconv.ops.add import Add
from volconv.ops.arithmetic import Arithmetic, find_spread
from volconv.ops.base import Wire
from volconv.ops.concat import Concat
from volconv.ops.conv3d import Conv3d
from volconv.ops.pad import Pad
from volconv.ops.slice import Slice
from volconv.plan.buffers import choose_kernels, lay_out
from volconv.plan.memory import place_buffers

WIRE = Wire((4, 5, 6), 20)
FIRST = ConvKernel("first", "first", "first", 1, 16, 4, 4)
LAST = ConvKernel("last", "any", "last", 16, 16, 4, 2)
DEPTH = ConvKernel("depthwise", "last", "last", 16, 16, 4, 2)


def conv(name, source=INPUT):
    return Node(name, "Conv3d", Conv3d(20, 20, (1, 1, 1), bias=False), (source,), WIRE)


def sums(*inputs):
    return Node("sum", "Add", Add(), inputs, WIRE)


@pytest.mark.parametrize(
    ("kernels", "layout", "channels", "copies"),
    [
        ({"a": FIRST, "b": FIRST}, "first", 20, []),
        ({"a": LAST, "b": LAST}, "last", 32, []),
        ({"a": FIRST, "b": LAST}, "first", 20, ["b:first:plain"]),
        ({"a": LAST, "b": FIRST}, "last", 32, ["b:last:plain"]),
    ],
)
def test_a_sum_has_the_layout_of_its_first_input(kernels, layout, channels, copies):
    graph = Graph(WIRE, (conv("b"), conv("a"), sums("a", "b")), ("sum",))
    layouts = lay_out(graph, kernels)
    assert (layouts.buffers["sum"].layout, layouts.buffers["sum"].channels) == (layout, channels)
    assert layouts.reads[("sum", 0)] == "a"
    assert layouts.reads[("sum", 1)] == (copies[0] if copies else "b")
    made = [step.target for step in layouts.steps if step.kind == "copy"]
    assert [name for name in made if not name.startswith("sum")] == copies
    step = next(step for step in layouts.steps if step.target == "sum")
    assert step.sources == (layouts.reads[("sum", 0)], layouts.reads[("sum", 1)])


def test_the_volume_may_be_summed():
    graph = Graph(WIRE, (conv("a"), sums(INPUT, "a", INPUT)), ("sum",))
    layouts = lay_out(graph, {"a": LAST})
    assert [layouts.reads[("sum", i)] for i in range(3)] == [INPUT, "a:first:plain", INPUT]


def test_what_is_added_later_is_kept_until_then():
    graph = Graph(WIRE, (conv("a"), conv("b", "a"), conv("c", "b"), sums("c", "a")), ("sum",))
    layouts = lay_out(graph, dict.fromkeys("abc", FIRST))
    offsets = place_buffers(layouts, dict.fromkeys(layouts.buffers, WIRE.shape)).offsets
    assert len({offsets[name] for name in "abc"}) == 3


def test_sixteen_channels_are_written_as_their_readers_take_them():
    wire, wide = Wire((4, 5, 6), 1), Wire((4, 5, 6), 16)
    thin = Node("thin", "Conv3d", Conv3d(1, 16, (3, 3, 3), bias=False), (INPUT,), wide)
    reader = Conv3d(16, 16, (3, 3, 3), bias=False)
    deep = Node("deep", "Conv3d", reader, ("thin",), wide, algorithm="winograd")
    few = Node("few", "Conv3d", Conv3d(16, 5, (3, 3, 3), bias=False), ("thin",), Wire((4, 5, 6), 5))
    apart = replace(few, wire=wide, op=replace(few.op, out_channels=16))
    for nodes, layout in (
        ((thin, deep), "last"),
        ((thin, deep, replace(sums("deep", "thin"), wire=wide)), "last"),
        ((thin, apart, replace(sums("few", "thin"), wire=wide)), "first"),
        ((thin,), "first"),
        ((thin, few), "first"),
        ((thin, deep, few), "first"),
    ):
        kernel = choose_kernels(Graph(wire, nodes, (nodes[-1].name,)), 512)["thin"]
        assert (kernel.writes, kernel.algorithm) == (layout, "direct")
    assert choose_kernels(Graph(wire, (thin, deep), ("thin", "deep")), 512)["thin"].writes == "first"


def join(*inputs):
    return Node("join", "Concat", Concat(), inputs, Wire(WIRE.shape, 40))


def wide(name, source):
    return Node(name, "Conv3d", Conv3d(40, 20, (1, 1, 1), bias=False), (source,), WIRE)


@pytest.mark.parametrize(
    ("kernels", "layout", "channels"),
    [
        ({"a": FIRST, "b": LAST, "out": FIRST}, "first", 40),
        ({"a": LAST, "b": LAST, "out": FIRST}, "first", 40),
        ({"a": FIRST, "b": FIRST, "out": DEPTH}, "last", 48),
        ({"a": LAST, "b": FIRST, "out": LAST}, "last", 48),
        ({"a": FIRST, "b": LAST, "out": LAST}, "first", 40),
    ],
)
def test_joined_channels_lie_as_their_readers_want_them(kernels, layout, channels):
    """Those who take any layout get that of the first of the largest inputs; no input is copied before."""
    graph = Graph(WIRE, (conv("a"), conv("b"), join("a", "b"), wide("out", "join")), ("out",))
    layouts = lay_out(graph, kernels)
    assert (layouts.buffers["join"].layout, layouts.buffers["join"].channels) == (layout, channels)
    assert [layouts.reads[("join", i)] for i in range(2)] == ["a", "b"]
    assert layouts.reads[("out", 0)] == "join"


def test_sixteen_channels_are_written_as_those_take_them_who_read_them_joined():
    wire, shape = Wire((4, 5, 6), 1), (4, 5, 6)
    parts = [Node(n, "Conv3d", Conv3d(1, 16, (3, 3, 3), bias=False), (INPUT,), Wire(shape, 16)) for n in "ab"]
    joined = Node("join", "Concat", Concat(), ("a", "b"), Wire(shape, 32))
    deep = Node(
        "deep", "Conv3d", Conv3d(32, 16, (3, 3, 3), bias=False), ("join",), Wire(shape, 16), algorithm="winograd"
    )
    for outputs, writes in ((("deep",), "last"), (("deep", "join"), "first")):
        kernels = choose_kernels(Graph(wire, (*parts, joined, deep), outputs), 512)
        assert [kernels[name].writes for name in "ab"] == [writes] * 2


def test_what_is_spread_over_others_is_read_where_it_lies():
    gate = Node("gate", "Slice", Slice(size=(20, 1, 1, 1)), ("a",), Wire((1, 1, 1), 20))
    product = Node("out", "Mul", Arithmetic("mul", find_spread((gate.wire, WIRE))), ("gate", "b"), WIRE)
    layouts = lay_out(Graph(WIRE, (conv("a"), gate, conv("b"), product), ("out",)), {"a": FIRST, "b": LAST})
    assert layouts.buffers["out"].layout == "last"
    assert [layouts.reads[("out", i)] for i in range(2)] == ["gate", "b"]


def test_a_border_is_looked_up_and_not_stored():
    wide = Node("pad", "Pad", Pad((0, 1, 1, 1), (0, 1, 1, 1), "reflect"), ("a",), Wire((6, 7, 8), 20))
    layouts = lay_out(Graph(WIRE, (conv("a"), wide), ("pad",)), {"a": FIRST})
    assert (layouts.buffers["a"].mode, layouts.buffers["a"].filled) == ("reflect", False)
    padded = Node("b", "Conv3d", Conv3d(20, 20, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), bias=False), ("a",), WIRE)
    layouts = lay_out(Graph(WIRE, (conv("a"), wide, padded), ("pad", "b")), {"a": FIRST, "b": FIRST})
    assert {name: layouts.reads[(name, 0)] for name in ("pad", "b")} == {"pad": "a", "b": "a:first:zeros"}

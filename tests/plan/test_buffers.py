"""Buffers of stages with several inputs: which layout, and who gets a copy."""

from dataclasses import replace

import pytest

from volconv.graph.model import INPUT, Graph, Node
from volconv.kernels.catalog import ConvKernel
from volconv.ops.add import Add
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.plan.buffers import choose_kernels, lay_out
from volconv.plan.memory import place_buffers

WIRE = Wire((4, 5, 6), 20)
FIRST = ConvKernel("first", "first", "first", 1, 16, 4, 4)
LAST = ConvKernel("last", "any", "last", 16, 16, 4, 2)


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

"""Which sums are made by a convolution, and what that changes of a plan."""

from dataclasses import replace

import numpy as np
import pytest

from volconv.graph.model import INPUT, Graph, Node
from volconv.kernels.catalog import ConvKernel
from volconv.ops.activations import Activation
from volconv.ops.add import Add
from volconv.ops.affine import Affine
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.ops.identity import Identity
from volconv.plan.buffers import lay_out
from volconv.plan.cost import Traffic, cut_axis, stage_seconds
from volconv.plan.make import make_plan
from volconv.plan.memory import place_buffers
from volconv.plan.residuals import fuse_residuals

WIRE = Wire((9, 5, 6), 20)
FIRST = ConvKernel("first", "first", "first", 1, 16, 4, 4)
LAST = ConvKernel("last", "any", "last", 16, 16, 4, 2)
SWEEP = ConvKernel("sweep", "first", "first", 1, 16, 4, 4)
RELU = Node("relu", "ReLU", Activation("relu"), ("x",), WIRE)
SILU = Node("silu", "SiLU", Activation("silu"), ("x",), WIRE)
SCALE = Node("scale", "Affine", Affine(2.0, 0.0), ("x",), WIRE)


def conv(name, source=INPUT, *epilogue, wire=WIRE):
    op = Conv3d(20, 20, (3, 1, 1), pad_low=(1, 0, 0), pad_high=(1, 0, 0), bias=False)
    return Node(name, "Conv3d", op, (source,), wire, epilogue=epilogue)


def sums(*inputs, epilogue=(), wire=WIRE):
    return Node("sum", "Add", Add(), inputs, wire, epilogue=epilogue)


def fuse(*nodes, kernels=None, outputs=("sum",), kernel=FIRST, wire=WIRE):
    graph = Graph(wire, nodes, outputs)
    made = {node.name: kernel for node in nodes if isinstance(node.op, Conv3d)}
    return fuse_residuals(graph, made | (kernels or {}))


def test_the_convolution_computed_last_makes_the_sum():
    graph, kernels = fuse(conv("a"), conv("b", "a"), sums("b", "a", epilogue=(RELU,)), kernels={"b": LAST, "a": LAST})
    first, fused = graph.nodes
    assert (first.name, fused.name, fused.inputs, fused.residual) == ("a", "sum", ("a", "a"), 1)
    assert [part.op_name for part in fused.epilogue] == ["Add", "ReLU"]
    assert kernels == {"a": LAST, "sum": LAST}
    assert (fused.read_interval(0, 0, (3, 5)), fused.read_interval(1, 0, (3, 5))) == ((2, 6), (3, 5))


def test_the_volume_may_be_added():
    graph, _ = fuse(conv("a"), sums("a", INPUT))
    assert [(node.name, node.inputs) for node in graph.nodes] == [("sum", (INPUT, INPUT))]


def test_it_stands_where_the_convolution_did():
    between = Node("between", "Identity", Identity(), (INPUT,), WIRE)
    graph, _ = fuse(conv("a"), conv("b"), between, sums("b", "a"), outputs=("sum", "between"))
    assert [node.name for node in graph.nodes] == ["a", "sum", "between"]


NEITHER = {
    "three inputs": ((conv("a"), conv("b"), sums("b", "a", INPUT)), {}),
    "the other one first": ((conv("a"), conv("b"), sums("a", "b")), {}),
    "twice the same": ((conv("b"), sums("b", "b")), {}),
    "read by another too": ((conv("a"), conv("b"), sums("b", "a"), conv("c", "b")), {"outputs": ("sum", "c")}),
    "an output": ((conv("a"), conv("b"), sums("b", "a")), {"outputs": ("sum", "b")}),
    "the other comes later": (
        (conv("b"), Node("late", "Identity", Identity(), (INPUT,), WIRE), sums("b", "late")), {},
    ),
    "a layout of its own": ((conv("a"), conv("b"), sums("b", "a")), {"kernels": {"b": LAST}}),
    "a factored filter": ((conv("a"), conv("b"), sums("b", "a")), {"kernels": {"b": SWEEP}}),
    "scaled behind it": ((conv("a"), conv("b"), sums("b", "a", epilogue=(SCALE,))), {}),
    "two activations": ((conv("a"), conv("b", INPUT, RELU), sums("b", "a", epilogue=(RELU,))), {}),
    "a polynomial before it": ((conv("a"), conv("b", INPUT, SILU), sums("b", "a")), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", NEITHER)
def test_other_sums_stay(name):
    nodes, options = NEITHER[name]
    graph, kernels = fuse(*nodes, **options)
    assert graph.nodes == nodes
    assert set(kernels) == {node.name for node in nodes if isinstance(node.op, Conv3d)}


def test_in_half_precision_the_result_is_rounded_before_it_is_added():
    wire = replace(WIRE, dtype="float16")
    nodes = conv("a", wire=wire), conv("b", wire=wire), sums("b", "a", wire=wire)
    assert fuse(*nodes, wire=wire)[0].nodes == nodes


@pytest.mark.parametrize("parts", [((), (SILU,)), ((SCALE, RELU), ()), ((SCALE,), (RELU,))])
def test_one_scale_before_it_and_one_activation_are_kept(parts):
    before, behind = parts
    graph, _ = fuse(conv("a"), conv("b", INPUT, *before), sums("b", "a", epilogue=behind))
    assert [part.name for part in graph.nodes[-1].epilogue] == [
        *(part.name for part in before), "sum", *(part.name for part in behind),
    ]  # fmt: skip


def test_what_is_added_is_read_where_it_is_written_and_kept_until_then():
    graph, kernels = fuse(conv("a"), conv("b", "a"), conv("c", "b"), sums("c", "a"))
    layouts = lay_out(graph, kernels)
    assert layouts.steps[-2].sources == ("b", "a")
    windows = cut_axis(graph, layouts, 0, (0, 4, 9)).windows
    assert [w["sum"].inner for w in windows] == [(0, 4), (4, 9)]
    assert [w["b"].inner for w in windows] == [(0, 5), (3, 9)]
    assert [w["a"].inner for w in windows] == [(0, 6), (2, 9)]
    offsets = place_buffers(layouts, dict.fromkeys(layouts.buffers, WIRE.shape)).offsets
    assert len({offsets[name] for name in ("a", "b", "sum")}) == 3


def test_a_plan_saves_the_memory_and_time_of_a_volume():
    nodes = conv("a"), conv("b", "a"), sums("b", "a", epilogue=(RELU,))
    tensors = {"weight": np.zeros((20, 20, 3, 1, 1), "f4")}
    graph = Graph(WIRE, tuple(replace(n, tensors=tensors) if n.name in "ab" else n for n in nodes), ("sum",))
    fused = make_plan(graph, budget=2**34, traffic=Traffic())
    apart = make_plan(replace(graph, outputs=("sum", "b")), budget=2**34, traffic=Traffic())
    assert [stage["op"] for stage in fused.stages] == ["Conv3d", "Conv3d + Add + ReLU"]
    assert fused.stages[1]["inputs"] == ["a", "a"]
    assert fused.seconds < apart.seconds
    assert fused.arena_bytes < apart.arena_bytes
    plain, adding = apart.graph.nodes[1], fused.graph.nodes[1]
    assert stage_seconds(apart.graph, plain, 1 << 20, 1) < stage_seconds(fused.graph, adding, 1 << 20, 1)

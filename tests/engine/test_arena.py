"""Where a tile's buffers lie: apart from each other, and rows with borders from cache line to cache line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volconv.engine.arena import Arena
from volconv.graph.model import INPUT, Graph, Node
from volconv.ops.base import Wire
from volconv.ops.conv3d import Conv3d
from volconv.plan.cost import Traffic
from volconv.plan.make import make_plan
from volconv.plan.memory import ROW, begins_rows_at_lines, row_length
from volconv.plan.model import Buffer

BORDERED = Buffer("a", "a", "first", 3, "zeros")


@given(st.integers(1, 600), st.integers(1, 600))
def test_a_wider_buffer_never_takes_less(a, b):
    low, high = sorted((a, b))
    assert low <= row_length(BORDERED, low) <= row_length(BORDERED, high)
    assert begins_rows_at_lines(BORDERED, low) <= begins_rows_at_lines(BORDERED, high)


@pytest.mark.parametrize("other", [{"mode": None}, {"filled": False}, {"layout": "last"}])
@pytest.mark.parametrize("width", [20, 112, 256, 258])
def test_rows_without_borders_beside_them_lie_one_behind_the_other(other, width):
    assert row_length(replace(BORDERED, **other), width) == width


def test_rows_a_power_of_two_apart_are_avoided():
    assert [row_length(BORDERED, width) for width in (20, 111, 112, 130, 250, 258, 272)] == [
        20, 111, 112, 144, 272, 272, 272,
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [30, 118, 261])
@pytest.mark.parametrize("tile", ["whole", (3, 4, 119)])
def test_what_a_tile_computes_begins_at_a_line_and_stays_in_its_room(dtype, width, tile):
    wire, nodes, before = Wire((5, 6, width), 2, dtype), [], INPUT
    for n, dilation in enumerate((1, 2, 5)):
        pad = (0, 1, dilation)
        op = Conv3d(2 if n == 0 else 3, 3, (1, 3, 3), pad_low=pad, pad_high=pad, dilation=(1, 1, dilation), bias=False)
        tensors = {"weight": np.zeros((3, op.in_channels, 1, 3, 3), "f4")}
        nodes.append(Node(f"n{n}", "Conv3d", op, (before,), Wire(wire.shape, 3, dtype), tensors))
        before = f"n{n}"
    graph = Graph(wire, tuple(nodes), (before,))
    shape = wire.shape if tile == "whole" else tile
    plan = make_plan(graph, budget=2**32, traffic=Traffic(), tile=shape)
    arena = Arena(plan)
    whole = arena.flat.ctypes.data
    seen = 0
    for cell in (part.cell for part in plan.tiles):
        taken = []
        for buffer in plan.buffers:
            view = arena.view(buffer.name, cell)
            if begins_rows_at_lines(buffer, view.box.shape[2]):
                first = whole + view.at(view.inner.start) * arena.flat.itemsize
                assert first % 64 == 0
                assert view.steps[2] % ROW == 0
                seen += 1
            stop = view.start + sum(
                (n - 1) * s for n, s in zip((buffer.channels, *view.box.shape), view.steps, strict=True)
            )
            assert plan.offsets[buffer.name] <= view.start
            taken.append((plan.offsets[buffer.name], stop))
        steps = [step for step in plan.steps if step.target]
        for step in steps:  # what is read never lies where it is written to
            target = next(t for b, t in zip(plan.buffers, taken, strict=True) if b.name == step.target)
            for source in step.sources:
                low, high = next(t for b, t in zip(plan.buffers, taken, strict=True) if b.name == source)
                assert high < target[0] or target[1] < low
        assert max(stop for _, stop in taken) < arena.flat.size
    assert bool(seen) == (width > 112)

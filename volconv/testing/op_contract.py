"""The contract of operators as tests that each operator's own test class inherits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from ..engine.naive_engine import run_naive
from ..formats.in_memory import ArraySource
from ..geometry import Triple
from ..graph.model import INPUT, Graph, Node
from ..ops.affine import Affine
from ..ops.base import Op, Wire, read_interval
from ..run.arrays import run_graph

BUDGET = 2**34


@dataclass(frozen=True)
class Case:
    """One operator on one volume.

    Attributes
    ----------
    op : Op
    shape : tuple of int
        D, H, W of the input.
    channels : int
    tensors : mapping
        Weights where random ones will not do.
    inputs : int
        How many it reads: the volume itself, then the volume scaled and shifted in different ways.
    parts : tuple of Op
        What makes each input but the first smaller before it is scaled; without them all inputs are of one size.
    """

    op: Op
    shape: Triple
    channels: int
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    inputs: int = 1
    parts: tuple[Op, ...] = ()

    def graph(self, dtype: str, seed: int = 0) -> Graph:
        """Return the graph of this operator alone, with random weights."""
        rng = np.random.default_rng(seed)
        tensors = {name: rng.standard_normal(shape).astype(dtype) for name, shape in self.op.tensor_shapes().items()}
        tensors.update(self.tensors)
        wire = Wire(self.shape, self.channels, dtype)
        before: list[Node] = []
        inputs = [INPUT]
        wires = [wire]
        for n in range(1, self.inputs):
            source = INPUT
            if self.parts:
                part = self.parts[n - 1]
                before.append(Node(f"part{n}", type(part).__name__, part, (INPUT,), part.out_wire((wire,))))
                source = before[-1].name
            wires.append(before[-1].wire if self.parts else wire)
            before.append(Node(f"in{n}", "Affine", Affine((1.0 / n - 2.0,), (0.5 * n,)), (source,), wires[-1]))
            inputs.append(before[-1].name)
        node = Node("op", type(self.op).__name__, self.op, tuple(inputs), self.op.out_wire(tuple(wires)), tensors)
        return Graph(wire, (*before, node), ("op",))

    def values(self, dtype: str, seed: int = 1) -> NDArray[Any]:
        """Return random input (C, D, H, W)."""
        return np.random.default_rng(seed).standard_normal((self.channels, *self.shape)).astype(dtype)


class OpContract:
    """Subclass it as ``Test…`` and give `cases`."""

    cases: ClassVar[Sequence[Case]] = ()
    tiles: ClassVar[Sequence[Triple]] = ((1, 2, 3), (4, 4, 4), (3, 7, 100))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_agrees_with_its_naive_twin(self, dtype: str) -> None:
        for case in self.cases:
            graph, values = case.graph(dtype), case.values(dtype)
            expected = run_naive(graph, values)["op"]
            found = run_graph(graph, ArraySource(values), BUDGET, 2, "whole")["op"]
            assert found.shape == expected.shape == (graph.wire("op").channels, *graph.wire("op").shape)
            assert found.dtype == dtype
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            assert np.abs(found - expected).max(initial=0) <= 100 * np.finfo(dtype).eps * scale, case.op

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_every_tile_gives_the_bits_of_the_whole(self, dtype: str) -> None:
        for case in self.cases:
            graph, values = case.graph(dtype), case.values(dtype)
            whole = run_graph(graph, ArraySource(values), BUDGET, 2, "whole")["op"]
            for n, tile in enumerate(self.tiles):
                found = run_graph(graph, ArraySource(values), BUDGET, 1 + n % 2, tile)["op"]
                assert found.tobytes() == whole.tobytes(), (case.op, tile)

    def test_backward_rule_covers_every_output(self) -> None:
        for case, index, axis in ((c, i, a) for c in self.cases for i in range(c.inputs) for a in range(3)):
            length = case.graph("float32").wire("op").shape[axis]
            whole = read_interval(case.op, index, axis, (0, length))
            for o in range(length):
                a, b = read_interval(case.op, index, axis, (o, o + 1))
                assert a >= b or (whole[0] <= a and b <= whole[1])
            a, b = read_interval(case.op, index, axis, (2, 2))
            assert a == b

    def test_parameters_are_frozen_and_comparable(self) -> None:
        for case in self.cases:
            assert case.op == case.op
            assert hash(case.op) == hash(case.op)
            assert isinstance(dict(case.op.describe()), dict)

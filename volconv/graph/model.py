"""A pipeline with shapes and weights: nodes in topological order by construction. Knows no tiles and no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from ..kernels.catalog import Algorithm
from ..ops.base import Array, Interval, Op, Wire, read_interval

INPUT = "input"
"""The name of the volume itself."""


@dataclass(frozen=True, eq=False)
class Node:
    """One stage with everything it needs.

    Attributes
    ----------
    name, op_name : str
        The stage's name, and the operator as the spec calls it.
    op : Op
        Canonical parameters and rules.
    inputs : tuple of str
        Names of the nodes it reads, or `INPUT`.
    wire : Wire
        Of its result, `epilogue` included.
    tensors : mapping
        Weights in canonical layout, by torch state-dict name, in the type they were stored or made in.
    epilogue : tuple of Node
        Affine and activation that are applied to each value as it is stored; the last one gives the node its name. A
        sum among them adds the last of `inputs`.
    algorithm : str
        What the order of a convolution's sums follows; part of the result, so it is fixed here and not by the planner.
        A factored one has the vectors along D, H, W of each filter side by side as the tensor ``factors`` (O, taps).
    written : mapping or None
        Parameters for display, by the dialect's names; None where no spec has said them.
    """

    name: str
    op_name: str
    op: Op
    inputs: tuple[str, ...]
    wire: Wire
    tensors: Mapping[str, Array] = field(default_factory=dict)
    epilogue: tuple[Node, ...] = ()
    algorithm: Algorithm = "direct"
    written: Mapping[str, Any] | None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters for display: in the words of the spec where there is one."""
        return self.op.describe() if self.written is None else self.written

    @property
    def residual(self) -> int | None:
        """Number of the input that the epilogue adds; None where it adds none."""
        return len(self.inputs) - 1 if any(part.op.kernel == "add" for part in self.epilogue) else None

    def read_interval(self, index: int, axis: int, out: Interval) -> Interval:
        """Return the voxels of input number `index` that outputs `out` of `axis` read: those same of a residual."""
        return out if index == self.residual else read_interval(self.op, index, axis, out)

    def macs(self, voxels: int) -> int:
        """Return the products of `voxels` outputs of every channel: of a factored filter those of its vectors."""
        if self.algorithm == "factored":
            return voxels * int(self.tensors["factors"].size)
        return self.op.macs(voxels)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, each after those it reads; `outputs` are names of nodes or `INPUT`.

    Attributes
    ----------
    input : Wire
        Of the volume.
    nodes : tuple of Node
    outputs : tuple of str
    stored : mapping
        Wires that an earlier phase of the run has computed and stored, by the name of their node, which is none of
        `nodes`; empty but for the phases that `volconv.graph.phases` makes.
    kept : tuple of str
        Wires that later phases need: themselves, or statistics of them.
    """

    input: Wire
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    stored: Mapping[str, Wire] = field(default_factory=dict)
    kept: tuple[str, ...] = ()

    def wire(self, name: str) -> Wire:
        """Return the wire called `name`."""
        if name == INPUT:
            return self.input
        return self.stored[name] if name in self.stored else self.node(name).wire

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the wires that no node computes."""
        return (INPUT, *self.stored)

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the wires that each tile hands on: outputs, and what is kept."""
        return tuple(dict.fromkeys((*self.outputs, *self.kept)))

    @cached_property
    def anchor(self) -> str:
        """The result along whose grid tiles are cut: the first output, in a phase the largest result."""
        if not self.kept and not self.stored:
            return self.outputs[0]
        return max(self.results, key=lambda name: prod(self.wire(name).shape))

    def node(self, name: str) -> Node:
        """Return the node called `name`."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def consumers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read the wire called `name`."""
        return tuple(node for node in self.nodes if name in node.inputs)

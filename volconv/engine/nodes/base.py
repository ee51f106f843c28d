"""The contract of a family of operators: a node is bound to its kernel once, then computes one tile after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from ...graph.model import Node
from ...kernels.jit import KernelSpec
from ...plan.model import Plan
from ..arena import View

Array = NDArray[Any]


class BoundNode(Protocol):
    """A node with its weights packed for its kernel."""

    @property
    def nbytes(self) -> int:
        """Bytes it holds."""

    def scratch_elements(self, threads: int) -> int:
        """Return how many elements of the compute type its kernel works in beside its inputs and outputs."""

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:
        """Compute ``target.inner`` from `sources`, one a stage it reads; `scratch` has the elements asked for."""


class Family(Protocol):
    """What a module of this package offers."""

    def kernels(self, node: Node, plan: Plan) -> list[KernelSpec]:
        """Return every kernel that running `node` may call."""

    def bind(self, node: Node, plan: Plan) -> BoundNode:
        """Return what runs `node`."""


class Unweighted:
    """The part of a `BoundNode` that holds nothing and needs no room."""

    nbytes = 0

    def scratch_elements(self, threads: int) -> int:  # noqa: ARG002
        """Return 0."""
        return 0


def run_plain(kernel: Callable[..., None], source: View, target: View, channels: int) -> None:
    """Run a kernel whose output voxel reads the same input voxel."""
    region = target.inner
    kernel(
        source.flat, source.at(region.start), source.steps, target.flat, target.at(region.start), target.steps,
        region.shape, channels,
    )  # fmt: skip


def input_channels(plan: Plan, node: Node) -> int:
    """Return the channels of the first stage `node` reads."""
    return plan.graph.wire(node.inputs[0]).channels

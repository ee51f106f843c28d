"""Our own two sides of a row, ready to be timed: the engine with everything prepared, and the plain call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...graph.model import INPUT, Graph
from ...kernels.jit import set_threads
from ...ops.conv3d import Conv3d as ConvOp
from ...ops.conv_transpose3d import ConvTranspose3d as ConvTransposeOp
from ...spec.model import Spec
from ..layers import Conv3d, ConvTranspose3d
from ..pipeline import Pipeline
from .exact import Exact, make_exact
from .networks import Network, make_volume
from .prepared import Prepared
from .rows import Row

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A row with its network built and its input made.

    Attributes
    ----------
    row : Row
    network : Network
    graph : Graph
        Before any pass.
    volume : (C, D, H, W) array
    exact : Exact
    """

    row: Row
    network: Network
    graph: Graph
    volume: Array
    exact: Exact

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct algorithm."""
        return sum(
            node.op.macs(prod(node.wire.shape))
            for node in self.graph.nodes
            if isinstance(node.op, ConvOp | ConvTransposeOp)
        )

    @property
    def nbytes(self) -> int:
        """Bytes of input and output: what must be read and written at least."""
        wires = (self.graph.input, self.graph.wire(self.graph.outputs[0]))
        return sum(4 * wire.channels * prod(wire.shape) for wire in wires)


def make_subject(row: Row) -> Subject:
    """Return `row` with everything that both sides share."""
    network = row.make()
    graph = network.build(row.shape, row.channels)
    volume = make_volume(row.channels, row.shape, row.volume)
    return Subject(row, network, graph, volume, make_exact(network.build, volume))


class PreparedSide:
    """The engine, planned and bound once; `run` gives seconds on any number of threads up to those it was made for."""

    def __init__(self, subject: Subject, threads: int) -> None:
        self.threads = threads
        self._prepared = Prepared(subject.graph, subject.volume, threads, subject.row.kind != "network")
        self.error = subject.exact.error_of(self._prepared.fetch())

    @property
    def kernels(self) -> list[str]:
        """What the plan computes the stages by, each once."""
        names = {"before", INPUT}
        stages = self._prepared.plan.stages
        return list(dict.fromkeys(stage["kernel"] for stage in stages if stage["name"] not in names))

    def run(self, threads: int | None = None) -> float:
        """Return the seconds of one run."""
        set_threads(threads or self.threads)
        try:
            return self._prepared.run()
        finally:
            set_threads(self.threads)


class PlainSide:
    """The call a user types: a C-ordered array in, a new one out; everything in between is its own affair.

    Parameters
    ----------
    subject : Subject
    spec, weights
        Of the subject's network, opened: a pipeline reads its weights in each call.
    """

    def __init__(self, subject: Subject, spec: Spec, weights: Path | None) -> None:
        self._volume = subject.volume
        self._call = self._layer(subject) or Pipeline(spec, weights)
        self.error = subject.exact.error_of(self._call(self._volume))

    def run(self) -> float:
        """Return the seconds of one call."""
        start = time.perf_counter()
        self._call(self._volume)
        return time.perf_counter() - start

    @staticmethod
    def _layer(subject: Subject) -> Callable[[Array], Any] | None:
        """Return the layer object of a row that is one layer."""
        if subject.row.kind != "layer":
            return None
        (node,) = subject.graph.nodes
        op = node.op
        assert isinstance(op, ConvOp | ConvTransposeOp)
        settings: dict[str, Any] = {
            "kernel_size": op.kernel_size,
            "stride": op.stride,
            "padding": op.pad_low,
            "dilation": op.dilation,
            "groups": op.groups,
            "weight": node.tensors["weight"],
            "bias": node.tensors["bias"],
        }
        if isinstance(op, ConvTransposeOp):
            return ConvTranspose3d(op.in_channels, op.out_channels, output_padding=op.output_padding, **settings)
        return Conv3d(op.in_channels, op.out_channels, **settings)

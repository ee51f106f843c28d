"""What a layer or a pipeline keeps between calls: planned runs, with their weights packed and their memory allotted."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.model import Graph, Node
from .arrays import ArrayRun

_MOST_RUNS = 2
_MOST_BYTES = 1 << 30
"""Of all runs kept; one that holds more by itself is not kept."""


@dataclass(frozen=True, eq=False)
class _Entry:
    graph: Graph
    settings: Hashable
    run: ArrayRun


class KeptRuns:
    """The runs used last, found again by graph and settings; any thread may ask.

    A graph is the same if its shapes and parameters are and every bit of its weights: these are compared with a copy,
    so that it does not matter how they were changed. Copies of the object begin with nothing kept.
    """

    def __init__(self) -> None:
        self._entries: tuple[_Entry, ...] = ()  # the last used first
        self._changing = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes held by all runs."""
        return sum(entry.run.nbytes for entry in self._entries)

    def find(self, graph: Graph, settings: Hashable) -> ArrayRun | None:
        """Return the run kept for `graph` and `settings`, if there is one."""
        for entry in self._entries:
            if entry.settings == settings and same_graph(entry.graph, graph):
                self._put_first(entry)
                return entry.run
        return None

    def keep(self, graph: Graph, settings: Hashable, run: ArrayRun) -> None:
        """Keep `run`, made from `graph`, a `snapshot`; the runs not used for longest go."""
        self._put_first(_Entry(graph, settings, run))

    def drop_stale(self, graph: Graph, settings: Hashable) -> None:
        """Let go of runs that differ from what is wanted in weights or parameters alone: these were changed."""
        with self._changing:
            self._entries = tuple(e for e in self._entries if e.settings != settings or e.graph.input != graph.input)

    def drop_others(self, run: ArrayRun | None) -> None:
        """Let go of all runs but `run`."""
        with self._changing:
            self._entries = tuple(e for e in self._entries if e.run is run)

    def _put_first(self, entry: _Entry) -> None:
        with self._changing:
            entries, room = [], _MOST_BYTES
            for one in (entry, *(e for e in self._entries if e is not entry))[:_MOST_RUNS]:
                room -= one.run.nbytes
                if room >= 0:
                    entries.append(one)
            self._entries = tuple(entries)

    def __reduce__(self) -> tuple[Any, ...]:
        return (KeptRuns, ())


def same_graph(one: Graph, other: Graph) -> bool:
    """Return whether two graphs, before any pass, give the same bits for every input."""
    if one.input != other.input or one.outputs != other.outputs or len(one.nodes) != len(other.nodes):
        return False
    return all(_same_node(a, b) for a, b in zip(one.nodes, other.nodes, strict=True))


def _same_node(one: Node, other: Node) -> bool:
    parts, others = ((n.name, n.op_name, n.op, n.inputs, n.wire, n.epilogue, n.algorithm) for n in (one, other))
    if parts != others or one.tensors.keys() != other.tensors.keys():
        return False
    return all(_same_bits(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    bits = f"u{one.dtype.itemsize}"  # as numbers NaN would differ from itself, and -0 be 0
    return bool(np.array_equal(one.view(bits), other.view(bits)))


def snapshot(graph: Graph) -> Graph:
    """Return `graph` with weights that nobody else can change."""
    nodes = (replace(node, tensors={name: np.array(t) for name, t in node.tensors.items()}) for node in graph.nodes)
    return replace(graph, nodes=tuple(nodes))

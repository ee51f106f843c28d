"""Cuts a graph where a stage needs all of its input: phases that run one after the other, each in tiles of its own.

    phase 0   input -> conv -> [a]            statistics of a are gathered, a is stored
    phase 1   [a] -> norm, activation -> conv -> [b]        and so of b
    phase 2   [b] -> norm, activation, [a] -> norm, activation -> add -> output

A stage belongs to the phase after the last one whose statistics it depends on. What a later phase reads is stored once
and never computed again, but for stages that change each value by itself: these are done again on what they read, so
that a norm and its activation cost no memory. Knows no tiles, no memory and no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..ops.base import is_global
from ..ops.global_pool import GlobalPool
from .model import INPUT, Graph, Node


@dataclass(frozen=True, eq=False)
class Phase:
    """A part of a graph that runs in tiles, and what it leaves to later parts.

    Attributes
    ----------
    graph : Graph
        Reads the volume and stored wires; `Graph.kept` is what later phases need.
    keeps : tuple of str
        Wires of `Graph.kept` that are stored.
    gathers : tuple of str
        Wires of `Graph.kept` whose statistics are gathered.
    ends : tuple of Node
        Stages whose statistics are complete when this phase is: norms of later phases, and pools, whose wires are then
        stored.
    """

    graph: Graph
    keeps: tuple[str, ...]
    gathers: tuple[str, ...]
    ends: tuple[Node, ...]


def has_phases(graph: Graph) -> bool:
    """Return whether `graph` takes more than one phase."""
    return any(is_global(node.op) for node in graph.nodes)


def find_levels(graph: Graph) -> dict[str, int]:
    """Return the phase in which each wire is first computed."""
    levels = {INPUT: 0}
    for node in graph.nodes:
        levels[node.name] = max(levels[name] for name in node.inputs) + is_global(node.op)
    return levels


def split_phases(graph: Graph) -> tuple[Phase, ...]:
    """Return the phases of `graph`, after its passes, in order; together they compute its outputs."""
    levels = find_levels(graph)
    count = max(levels.values()) + 1
    ends: list[list[Node]] = [[] for _ in range(count)]
    for node in graph.nodes:
        if is_global(node.op):
            ends[levels[node.name] - 1].append(node)
    keeps: list[dict[str, None]] = [{} for _ in range(count)]
    phases: list[Phase] = []
    for number in reversed(range(count)):
        outputs = tuple(name for name in graph.outputs if levels[name] == number)
        gathers = tuple(dict.fromkeys(node.inputs[0] for node in ends[number]))
        kept = tuple(dict.fromkeys((*keeps[number], *gathers)))
        members, stored = _collect(graph, levels, number, (*outputs, *kept))
        for name in stored:
            node = graph.node(name)
            if not isinstance(node.op, GlobalPool):  # a pool's voxel is made of statistics alone
                keeps[levels[name]][name] = None
        nodes = tuple(node for node in graph.nodes if node.name in members)
        wires = {node.name: node.wire for node in graph.nodes if node.name in stored}
        part = replace(graph, nodes=nodes, outputs=outputs, stored=wires, kept=kept)
        phases.append(Phase(part, tuple(keeps[number]), gathers, tuple(ends[number])))
    return tuple(reversed(phases))


def _collect(
    graph: Graph, levels: Mapping[str, int], number: int, wanted: tuple[str, ...]
) -> tuple[set[str], set[str]]:
    """Return the nodes that phase `number` computes for `wanted`, and the stored wires it reads."""
    members: set[str] = set()
    stored: set[str] = set()
    open_names = [name for name in wanted if name != INPUT]
    while open_names:
        name = open_names.pop()
        if name in members or name in stored:
            continue
        node = graph.node(name)
        if isinstance(node.op, GlobalPool) or (levels[name] < number and node.op.kernel != "pointwise"):
            stored.add(name)
            continue
        members.add(name)
        open_names.extend(source for source in node.inputs if source != INPUT)
    return members, stored

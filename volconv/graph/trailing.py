"""Takes the stages that need the whole label map off the end of a graph: what is left is computed tile by tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import ShapeError
from ..ops.base import Op, Wire
from ..ops.trailing import FOLLOWING, is_trailing
from .model import INPUT, Graph, Node


@dataclass(frozen=True, eq=False)
class Chain:
    """What is done to a whole label map after the last tile.

    Attributes
    ----------
    source : str
        The stage whose result, gathered from all tiles, it begins with.
    wire : Wire
        Of that stage.
    nodes : tuple of Node
        In order; the last one's result is the output.
    asked : bool
        Whether the result of `source` is an output as well.
    """

    source: str
    wire: Wire
    nodes: tuple[Node, ...] = ()
    asked: bool = False

    @property
    def labels(self) -> int:
        """How many labels there may be at any point."""
        return max(self.wire.labels, *(node.wire.labels for node in self.nodes))


def check_inputs_in_tiles(op: Op, op_name: str, names: Sequence[str], nodes: Mapping[str, Node]) -> None:
    """Raise `ShapeError` where `op` is to read, tile by tile, what is known after the last tile only."""
    if is_trailing(op) or op.kernel in FOLLOWING:
        return
    for name in names:
        found = _trailing_before(name, nodes)
        if found is not None:
            raise ShapeError(
                f"{op_name} reads {name!r}, behind {found.op_name}, which needs the whole volume; expected no stages "
                "behind it but LargestComponent, FillHoles, Remap and Identity"
            )


def _trailing_before(name: str, nodes: Mapping[str, Node]) -> Node | None:
    """Return the trailing stage that `name` is, or follows; None if there is none."""
    while name != INPUT:
        node = nodes[name]
        if is_trailing(node.op):
            return node
        if node.op.kernel not in FOLLOWING:
            return None
        name = node.inputs[0]
    return None


def split_trailing(graph: Graph) -> tuple[Graph, dict[str, Chain]]:
    """Return the part of `graph` that is computed in tiles, and what makes each other output of it.

    The first has every label map that the second needs among its outputs, behind those that were asked for.
    """
    chains: dict[str, Chain] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        source = node.inputs[0]
        if is_trailing(node.op) or source in chains:
            before = chains.get(source) or Chain(source, graph.wire(source), asked=source in graph.outputs)
            chains[node.name] = replace(before, nodes=(*before.nodes, node))
        else:
            kept.append(node)
    wanted = {name: chains[name] for name in graph.outputs if name in chains}
    if not wanted:
        return graph, {}
    outputs = dict.fromkeys(name for name in graph.outputs if name not in chains)
    outputs.update(dict.fromkeys(chain.source for chain in wanted.values()))
    return Graph(graph.input, tuple(kept), tuple(outputs)), wanted

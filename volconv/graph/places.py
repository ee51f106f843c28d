"""Which path leads from the input volume to a stage, and where paths that meet disagree on where a voxel lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..errors import ShapeError
from ..ops.base import Wire
from ..ops.merge import ROUNDING_VOXELS, describe_place, merge_wires, voxels_apart
from .model import INPUT, Graph, Node


def check_inputs(names: Sequence[str], volume: Wire, nodes: Mapping[str, Node], *, broadcast: bool = False) -> None:
    """Raise `ShapeError` unless the wires called `names` share one grid; it names the paths that lead to them.

    Parameters
    ----------
    names : sequence of str
        What one stage reads.
    volume : Wire
        Of the input volume.
    nodes : mapping
        Every earlier stage by name.
    broadcast : bool
        Whether a length of 1 fits every other.
    """
    wires = [_wire(name, volume, nodes) for name in names]
    try:
        merge_wires(wires, broadcast=broadcast)
    except ShapeError:
        merge_wires(wires, [_quoted(name, volume, nodes) for name in names], broadcast=broadcast)


def list_disagreements(graph: Graph) -> Iterator[str]:
    """Yield a sentence for every stage whose inputs put the same voxel in different places, less than a voxel apart."""
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        if len(node.inputs) < 2:
            continue
        wires = [_wire(name, graph.input, nodes) for name in node.inputs]
        # where an input is spread it lies nowhere in particular: those of the result's own size say more
        order = [(voxels_apart(node.wire, wire), wire.shape != node.wire.shape) for wire in wires]
        kept = min(range(len(wires)), key=order.__getitem__)
        apart = [voxels_apart(wires[kept], wire) for wire in wires]
        worst = max(range(len(wires)), key=apart.__getitem__)
        if apart[worst] > ROUNDING_VOXELS:
            here, there = (
                f"{_quoted(node.inputs[n], graph.input, nodes)} {describe_place(wires[n])}" for n in (kept, worst)
            )
            yield (
                f"stage {node.name!r}: {here} and {there}, {apart[worst]:g} voxels apart; the result lies where "
                f"{node.inputs[kept]!r} does"
            )


def _wire(name: str, volume: Wire, nodes: Mapping[str, Node]) -> Wire:
    return volume if name == INPUT else nodes[name].wire


def _quoted(name: str, volume: Wire, nodes: Mapping[str, Node]) -> str:
    """Return `name` and the stages on the way to it that changed the grid."""
    path = [name]
    at = name
    while at != INPUT:
        node = nodes[at]
        source = min(node.inputs, key=lambda n: _wire(n, volume, nodes).moves)
        if node.wire.moves != _wire(source, volume, nodes).moves and at != name:
            path.append(at)
        at = source
    if name == INPUT:
        return repr(name)
    return f"{name!r} ({' > '.join([INPUT, *reversed(path)])})"

"""The backward interval rule over a whole graph: what every buffer must hold so that one tile can be written.

Axes are independent, so this works on one axis and one interval at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..graph.model import Graph
from ..ops.base import Interval, inside
from .buffers import Layouts
from .model import Window

_EMPTY: Interval = (0, 0)


def hull(a: Interval, b: Interval) -> Interval:
    """Return the smallest interval that holds both; an empty one adds nothing."""
    if a[1] <= a[0]:
        return b
    if b[1] <= b[0]:
        return a
    return (min(a[0], b[0]), max(a[1], b[1]))


def pull_back(graph: Graph, layouts: Layouts, axis: int, writes: Mapping[str, Interval]) -> dict[str, Window]:
    """Return the window of every buffer along `axis` for a tile that writes `writes` (result name to interval).

    Each wire's interval is the hull over its consumers, clipped to its own domain: padding applies at the volume's
    border only, and a consumer sees it only there.
    """
    box: dict[str, Interval] = dict.fromkeys(layouts.buffers, _EMPTY)
    inner: dict[str, Interval] = dict.fromkeys(layouts.buffers, _EMPTY)
    for result, interval in writes.items():
        for handed_on in (layouts.exports, layouts.keeps):
            if result in handed_on:
                _need(handed_on[result], interval, graph, layouts, axis, box, inner)
    for node in reversed(graph.nodes):
        computed = inner[node.name]
        for i in range(len(node.inputs)):
            interval = node.read_interval(i, axis, computed)
            _need(layouts.reads[(node.name, i)], interval, graph, layouts, axis, box, inner)
    return {name: Window(hull(box[name], inner[name]), inner[name]) for name in layouts.buffers}


def _need(
    name: str,
    interval: Interval,
    graph: Graph,
    layouts: Layouts,
    axis: int,
    box: dict[str, Interval],
    inner: dict[str, Interval],
) -> None:
    if interval[1] <= interval[0]:
        return
    buffer = layouts.buffers[name]
    length = graph.wire(buffer.wire).shape[axis]
    held = inside(interval, length, buffer.mode)
    box[name] = hull(box[name], interval if buffer.filled else held)
    inner[name] = hull(inner[name], held)
    if buffer.source is not None:
        _need(buffer.source, inner[name], graph, layouts, axis, box, inner)

"""From what a pickle describes to tensors with names: nested dictionaries and lists are joined by dots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from ..errors import WeightsError, show
from .base import refuse_duplicate
from .pickle_input import PickleInput
from .pickle_values import Shell, as_view
from .strided import View

MAX_DEPTH = 64
MAX_ITEMS = 2_000_000
"""Looked at in all: what is shared counts each time it is met."""

MAX_NAME = 1024


def name_tensors(pickle: PickleInput, root: Any) -> dict[str, View]:
    """Return the tensors below `root` by name, in the file's order; a tensor itself has the empty name.

    Numbers, texts and whatever else lies beside the tensors is left out.

    Raises
    ------
    WeightsError
        If there are none, two have one name, or `root` is deeper or wider than any network.
    """
    if isinstance(root, dict) and set(root) == {"state", "param_groups"}:
        _refuse(pickle, "the state of an optimiser, expected weights: save the state_dict() of the model")
    out: dict[str, View] = {}
    stack = [("", root, 0)]
    seen = 0
    while stack:
        name, node, depth = stack.pop()
        seen += 1 + (len(node) if isinstance(node, dict | list | tuple) else 0)
        view = as_view(node)
        if isinstance(node, Shell) and view is None:
            pickle.fail(f"{node.kind} {show(name)!r} without its numbers", "a complete one")
        if view is not None:
            if name in out:
                refuse_duplicate(pickle.file, name)
            out[name] = view
            continue
        if depth >= MAX_DEPTH or seen > MAX_ITEMS:
            pickle.fail("things inside each other without end", f"at most {MAX_DEPTH} levels and {MAX_ITEMS} things")
        stack += reversed([(child, value, depth + 1) for child, value in _children(pickle, name, node)])
    if not out:
        _refuse(pickle, "no tensors, expected a dictionary of names and tensors")
    return out


def _children(pickle: PickleInput, name: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a container that may hold tensors."""
    if isinstance(node, dict):
        items: Iterable[tuple[Any, Any]] = node.items()
    else:
        items = enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in items:
        if isinstance(value, dict | list | tuple | Shell | View):
            child = f"{name}.{key}" if name else str(key)
            if len(child) > MAX_NAME:
                pickle.fail(f"a name of {len(child)} letters", f"at most {MAX_NAME}")
            pickle.meter.spend(160 + len(child) * (1 if child.isascii() else 4))
            yield child, value


def _refuse(pickle: PickleInput, found: str) -> NoReturn:
    raise WeightsError(f"pickle: found {found}", code="weights.pickle", file=pickle.file.name)

"""Finds the family of an operator by the name of its kernel."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from ...graph.model import Node
from .base import Family

FAMILIES = {
    "add": "addition",
    "arithmetic": "arithmetic",
    "avg_pool": "pooling",
    "concat": "concatenation",
    "conv": "convolution",
    "conv_transpose": "transposed",
    "copy": "copying",
    "layer_norm": "layer_norm",
    "max_pool": "pooling",
    "pad": "padding",
    "pointwise": "pointwise",
    "resample": "resampling",
    "slice": "slicing",
    "vector_norm": "vector_norm",
}
"""`Op.kernel` to the module beside this one; modules load on first use, with the kernels they call."""


def find_family(node: Node) -> Family:
    """Return what runs nodes like `node`."""
    return cast(Family, import_module(f".{FAMILIES[node.op.kernel]}", __package__))

"""Finds what carries out a stage on a whole label map, by the name of its kernel."""

from __future__ import annotations

from importlib import import_module
from math import prod
from typing import cast

import numpy as np

from ...graph.trailing import Chain
from ...numeric import label_dtype
from .base import Labels, Stage

STAGES = {
    "fill_holes": "fill_holes",
    "largest_component": "largest_component",
    "remap": "remap",
}
"""`Op.kernel` to the module beside this one; an identity needs none."""


def find_stage(kernel: str) -> Stage:
    """Return what carries out operators of `kernel`."""
    return cast(Stage, import_module(f".{STAGES[kernel]}", __package__))


def change_labels(chain: Chain, labels: Labels) -> None:
    """Carry out `chain` on `labels`, a C-contiguous (C, D, H, W) array of unsigned integers, in place."""
    for node in chain.nodes:
        if node.op.kernel == "copy":
            continue
        for channel in labels:
            find_stage(node.op.kernel).change(node.op, channel)


def held_dtype(chains: list[Chain]) -> np.dtype[np.unsignedinteger]:
    """Return the smallest type that holds every label of `chains`, which begin with one stage."""
    return label_dtype(max(chain.labels for chain in chains))


def held_bytes(chains: list[Chain]) -> int:
    """Return the bytes of one volume of the label map that `chains` begin with."""
    wire = chains[0].wire
    return prod(wire.shape) * wire.channels * held_dtype(chains).itemsize


def work_bytes(chains: list[Chain]) -> int:
    """Return the bytes beside the label map that carrying out `chains` takes, one after the other."""
    voxels, itemsize = prod(chains[0].wire.shape), held_dtype(chains).itemsize
    kernels = {node.op.kernel for chain in chains for node in chain.nodes} - {"copy"}
    copy = held_bytes(chains) if len(chains) > 1 else 0
    return copy + max((find_stage(kernel).work_bytes(itemsize) for kernel in kernels), default=0) * voxels

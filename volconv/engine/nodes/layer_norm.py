"""Layer normalisation over channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...graph.model import Node
from ...kernels.catalog_memory import layer_norm_elements
from ...kernels.jit import KernelSpec
from ...kernels.layer_norm import layer_norm_specs, run_layer_norm
from ...numeric import compute_dtype
from ...ops.layer_norm import LayerNorm
from ...plan.model import Plan
from ..arena import View
from .base import Array


def kernels(node: Node, plan: Plan) -> list[KernelSpec]:  # noqa: ARG001
    """Return the kernels of the norm."""
    return layer_norm_specs(compute_dtype(node.wire.dtype))


def bind(node: Node, plan: Plan) -> Normalisation:  # noqa: ARG001
    """Return what runs `node`."""
    assert isinstance(node.op, LayerNorm)
    return Normalisation(node.op, node.tensors, compute_dtype(node.wire.dtype))


class Normalisation:
    """The norm with its weight and bias, 1 and 0 where it has none."""

    def __init__(self, op: LayerNorm, tensors: Any, dtype: str) -> None:
        defaults = {"weight": np.ones(op.channels, dtype), "bias": np.zeros(op.channels, dtype)}
        weight, bias = (np.ascontiguousarray(tensors.get(name, defaults[name]), dtype) for name in defaults)
        self._tables = (weight, bias)
        self._eps = op.eps

    @property
    def nbytes(self) -> int:
        """Bytes of weight and bias."""
        return sum(table.nbytes for table in self._tables)

    def scratch_elements(self, threads: int) -> int:
        """Return what the kernel works in."""
        return layer_norm_elements(threads)

    def run(self, sources: Sequence[View], target: View, scratch: Array) -> None:
        """Compute ``target.inner``."""
        (source,), region = sources, target.inner
        run_layer_norm(
            source.flat, source.at(region.start), source.steps, target.flat, target.at(region.start), target.steps,
            region.shape, self._tables, self._eps, scratch,
        )  # fmt: skip

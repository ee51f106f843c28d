"""What a node does to each value as it is stored, in the form kernels take."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..graph.model import Node
from ..kernels.catalog import Epilogue
from ..ops.activations import Activation
from ..ops.add import Add
from ..ops.affine import Affine
from ..ops.batch_norm import BatchNorm, scale_and_shift


def make_epilogue(parts: tuple[Node, ...], channels: int, dtype: Any) -> Epilogue:
    """Return the epilogue of `parts`: at most one affine or norm, then at most one activation, over `channels`.

    At most one sum stands before or behind the activation.
    """
    scale = shift = slope = None
    activation = "identity"
    residual: Literal["", "before", "after"] = ""
    parameters: tuple[float, ...] = ()
    for part in parts:
        if isinstance(part.op, Affine):
            scale, shift = _each(part.op.scale, channels, dtype), _each(part.op.shift, channels, dtype)
        elif isinstance(part.op, BatchNorm):
            scale, shift = (_each(table, channels, dtype) for table in scale_and_shift(part.op, part.tensors))
        elif isinstance(part.op, Activation):
            activation, parameters = part.op.kind, part.op.parameters
            residual = "before" if residual else ""
            if part.op.slopes:
                slope = _each(part.tensors["weight"], channels, dtype)
        elif isinstance(part.op, Add):
            residual = "after"
    return Epilogue(scale, shift, activation, parameters, slope, residual)


def _each(values: Any, channels: int, dtype: Any) -> NDArray[Any]:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, dtype), (channels,)))

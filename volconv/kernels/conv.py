"""Bind a layer's weights to a kernel, and run it on any box of any arrays: the door to all convolution kernels.

Knows nothing of volumes, tiles or padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .bound_depthwise import BoundDepthwise
from .bound_direct import SLACK, BoundConv, BoundRows
from .bound_minimal import BoundMinimal
from .bound_pairs import BoundPairs
from .bound_phases import BoundPhases, PhaseWeights
from .bound_sweep import BoundSweep
from .bound_winograd import BoundWinograd
from .catalog import ConvKernel, ConvShape, Epilogue
from .conv_pack import Residual, kernel_specs

__all__ = [
    "SLACK",
    "BoundConv",
    "BoundMinimal",
    "BoundPhases",
    "BoundSweep",
    "PhaseWeights",
    "Residual",
    "bind_conv",
    "bind_phases",
    "kernel_specs",
]

Array = np.ndarray[Any, Any]


def bind_conv(
    kernel: ConvKernel, shape: ConvShape, weights: Array, bias: Array | None = None, epilogue: Epilogue | None = None
) -> BoundConv:
    """Pack a layer's weights for `kernel`.

    Parameters
    ----------
    kernel : ConvKernel
        What `choose_conv` gave for `shape`.
    shape : ConvShape
        The layer.
    weights : (O, I/G, T) array
        For output channel, input channel of the group, tap; cast to the shape's dtype. The taps of a factored filter
        are those along d, then h, then w.
    bias : (O,) array, optional
        Added to each sum.
    epilogue : Epilogue, optional
        What follows the bias.

    Returns
    -------
    BoundConv
        Holds its own copy of the weights.
    """
    expected = (shape.out_channels, shape.group_inputs, shape.taps)
    if weights.shape != expected:
        raise ValueError(f"weights are {weights.shape}, expected {expected}")
    kinds = {
        "rows": BoundRows,
        "depthwise": BoundDepthwise,
        "pairs": BoundPairs,
        "sweep": BoundSweep,
        "winograd": BoundWinograd,
        "minimal": BoundMinimal,
    }
    bound = kinds.get(kernel.name, BoundConv)
    return bound(kernel, shape, weights, bias, epilogue or Epilogue())


def bind_phases(
    kernel: ConvKernel,
    shape: ConvShape,
    phases: Sequence[PhaseWeights],
    bias: Array | None = None,
    epilogue: Epilogue | None = None,
) -> BoundPhases:
    """Pack a transposed layer's weights for `kernel`, one of all phases at once.

    Parameters
    ----------
    kernel : ConvKernel
        What `choose_conv` gave for `shape`, where its name is ``phases``.
    shape : ConvShape
        The layer.
    phases : sequence of PhaseWeights
        Cast to the shape's dtype.
    bias : (O,) array, optional
        Added to each sum.
    epilogue : Epilogue, optional
        What follows the bias.

    Returns
    -------
    BoundPhases
        Holds its own copy of the weights.
    """
    return BoundPhases(kernel, shape, phases, bias, epilogue or Epilogue())

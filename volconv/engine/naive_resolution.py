"""The float64 twins of the families that change resolution; `volconv.engine.naive_nodes` holds them with the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import naive_pool, naive_resample
from ..ops.avg_pool3d import AvgPool3d
from ..ops.base import Wire
from ..ops.max_pool3d import MaxPool3d
from ..ops.pool import Pool
from ..ops.resample import Resample, list_sources

Floats = NDArray[np.float64]
Tensors = Mapping[str, Floats]


def _max_pool(op: MaxPool3d, inputs: Sequence[Floats], tensors: Tensors) -> Floats:  # noqa: ARG001
    return naive_pool.max_pool3d(inputs[0], _shape(op, inputs[0]), op.kernel_size, op.stride, op.pad_low, op.dilation)


def _avg_pool(op: AvgPool3d, inputs: Sequence[Floats], tensors: Tensors) -> Floats:  # noqa: ARG001
    pads = (op.pad_low, op.pad_high)
    return naive_pool.avg_pool3d(
        inputs[0], _shape(op, inputs[0]), op.kernel_size, op.stride, pads, op.dilation, op.count_include_pad, op.divisor
    )


def _shape(op: Pool, x: Floats) -> tuple[int, int, int]:
    d, h, w = x.shape[1:]
    return op.out_wire((Wire((d, h, w), x.shape[0]),)).shape


def _resample(op: Resample, inputs: Sequence[Floats], tensors: Tensors) -> Floats:  # noqa: ARG001
    return naive_resample.resample(inputs[0], [list_sources(line, op.rule, np.arange(line.count)) for line in op.lines])


RESOLUTION_TWINS: dict[str, Callable[[Any, Sequence[Floats], Tensors], Floats]] = {
    "avg_pool": _avg_pool,
    "max_pool": _max_pool,
    "resample": _resample,
}

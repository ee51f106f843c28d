"""What binding a layer to any convolution kernel shares: its compiled code, aligned copies, the epilogue as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import conv_plan as at
from . import jit
from .catalog import ACTIVATIONS, IN_REGISTERS, ConvKernel, ConvShape, Epilogue
from .catalog_filters import FILTERS

Array = np.ndarray[Any, Any]


def kernel_specs(kernel: ConvKernel, shape: ConvShape, epilogue: Epilogue) -> list[jit.KernelSpec]:
    """Return what `bind_conv` of the same arguments will have compiled, for `jit.missing` and a child process."""
    code = 0 if epilogue.activation in IN_REGISTERS else list(ACTIVATIONS).index(epilogue.activation)
    ints: dict[str, tuple[int, ...]] = {
        "last": (kernel.lanes, kernel.block, kernel.width, code),
        "first": (kernel.lanes, kernel.block, kernel.tail, kernel.width, kernel.step, code),
        "rows": (kernel.lanes, kernel.block, kernel.tail, kernel.step, code),
        "pairs": (kernel.lanes, kernel.block, kernel.tail, kernel.width, code),
        "phases": (kernel.lanes, kernel.block, kernel.width, code),
        "depthwise": (kernel.lanes, kernel.block, kernel.width, code),
        "winograd": (kernel.lanes, kernel.block, kernel.width, code),
        "minimal": (kernel.lanes, kernel.block, kernel.width, *map(list(FILTERS).index, shape.filters[1:]), code),
        "sweep": (kernel.lanes, kernel.block, kernel.tail, kernel.width, code),
    }
    adds = (1,) if epilogue.residual else ()
    return [jit.KernelSpec(f"conv_{kernel.name}.conv", shape.dtype, (*ints[kernel.name], *adds))]


class Residual(NamedTuple):
    """A volume whose values are added to outputs: it has the layout of the output, and as many channels stored.

    Attributes
    ----------
    values : flat array
        Of the type of the output, which it does not overlap.
    start : int
        Element of what is added to channel 0 of the first output, as ``out_start``.
    steps : 4 ints
        Elements from one channel, z, y, x to the next, as ``out_steps``.
    """

    values: Array
    start: int
    steps: Sequence[int]

    def ahead(self, elements: int) -> Residual:
        """Return the part that begins `elements` further on."""
        return self._replace(start=self.start + elements)


def record_residual(plan: Array, residual: Residual | None, epilogue: Epilogue, spare: Array) -> Array:
    """Write into `plan` where `residual` lies and return its values; where there is none, `spare`, which nobody reads.

    It must be there if and only if the epilogue has a place for it.
    """
    if (residual is None) == bool(epilogue.residual):
        raise ValueError(f"residual {residual}, expected one where the epilogue ({epilogue}) says so")
    if residual is None:
        return spare
    at.fill_residual(plan, residual.start, residual.steps, epilogue.residual == "after")
    return residual.values


LINE_BYTES = 64
"""Of a cache line."""


def align_values(values: Array) -> Array:
    """Return a copy that begins at a cache line: vectors that straddle lines load at half the rate."""
    room = np.empty(values.size + 64 // values.itemsize, values.dtype)
    start = -room.ctypes.data % 64 // values.itemsize
    room[start : start + values.size] = values
    return room[start : start + values.size]


def pack_vectors(rows: Array, width: int) -> Array:
    """Return (n, O) as flat (part of `width` outputs, n, width), zero where the last part is not full."""
    parts = -(-rows.shape[1] // width)
    packed = np.zeros((len(rows), parts * width), rows.dtype)
    packed[:, : rows.shape[1]] = rows
    return align_values(packed.reshape(len(rows), parts, width).transpose(1, 0, 2).ravel())


def epilogue_rows(epilogue: Epilogue, channels: int) -> tuple[int, Array]:
    """Return the mode of the bounds in registers, and the table (row, channel)."""
    rows = np.zeros((at.TABLE_ROWS, channels))
    if epilogue.scale is not None and epilogue.shift is not None:
        rows[at.SCALE], rows[at.SHIFT] = epilogue.scale, epilogue.shift
    mode = at.NONE
    if epilogue.activation in ("relu", "clip"):
        low, high = epilogue.parameters or (0.0, np.inf)
        mode, rows[at.LOW], rows[at.HIGH] = at.CLIP, low, high
    elif epilogue.activation in ("leaky_relu", "prelu"):
        mode, rows[at.LOW] = at.SLOPE, epilogue.parameters[0] if epilogue.slope is None else epilogue.slope
    elif epilogue.parameters:
        rows[at.LOW], rows[at.HIGH] = epilogue.parameters[0], epilogue.parameters[-1]
    return mode, rows

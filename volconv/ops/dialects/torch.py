"""The torch dialect: parameters, defaults, rules and weight layouts of ``torch.nn.Conv3d`` and its relatives."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from ...geometry import Triple
from ...values import Values, describe
from ..base import Array, Op
from ..conv3d import Conv3d
from ..conv_transpose3d import ConvTranspose3d
from ..reader import INTS, Context, Dialect, OpReader
from ..simple import SIMPLE_READERS
from ..window import PADDING_MODES, same_padding

_CHANNELS = {"type": "integer", "minimum": 1}
_CONV: dict[str, Mapping[str, Any]] = {
    "in_channels": _CHANNELS,
    "out_channels": _CHANNELS,
    "kernel_size": INTS,
    "stride": INTS,
    "padding": {"oneOf": [*INTS["oneOf"], {"enum": ["same", "valid"]}]},
    "dilation": INTS,
    "groups": _CHANNELS,
    "padding_mode": {"enum": list(PADDING_MODES)},
}
_TRANSPOSED: dict[str, Mapping[str, Any]] = {
    **{k: v for k, v in _CONV.items() if k != "padding"},
    "padding": INTS,
    "output_padding": INTS,
    "padding_mode": {"enum": ["zeros"]},
}


def read_conv(values: Values, context: Context, rank: int = 3) -> Conv3d:
    """Return the canonical operator of a ``Conv3d`` (or, with `rank` 2, of a ``Conv2d`` over H and W).

    Raises
    ------
    SpecError
        Where torch's constructor would raise, and where its forward would for reasons known here.
    """
    values.refuse_unknown((*_CONV, "bias"))
    mode = values.choice("padding_mode", PADDING_MODES, "zeros")
    groups, inside, outside = _channels(values, context, in_axis=1)
    kernel = _kernel(values, context, rank)
    one = (1,) * rank
    stride = values.integers("stride", rank, one, 1, broadcast_one=True)
    dilation = values.integers("dilation", rank, one, 1, broadcast_one=True)
    low, high = _padding(values, mode, kernel, stride, dilation)
    return Conv3d(
        inside,
        outside,
        _triple(kernel, 1),
        _triple(stride, 1),
        _triple(low, 0),
        _triple(high, 0),
        _triple(dilation, 1),
        groups,
        values.boolean("bias", True),
        mode,
    )


def read_conv_transpose(values: Values, context: Context) -> ConvTranspose3d:
    """Return the canonical operator of a ``ConvTranspose3d``."""
    values.refuse_unknown((*_TRANSPOSED, "bias"))
    if isinstance(values.get("padding", 0), str):
        values.fail(
            "padding", describe(values.get("padding")), "whole numbers: a transposed convolution has no such form"
        )
    values.choice("padding_mode", ("zeros",), "zeros")
    groups, inside, outside = _channels(values, context, in_axis=0)
    kernel = _kernel(values, context, 3)
    ones = (1, 1, 1)
    stride = values.integers("stride", 3, ones, 1, broadcast_one=True)
    dilation = values.integers("dilation", 3, ones, 1, broadcast_one=True)
    padding = values.integers("padding", 3, (0, 0, 0), 0, broadcast_one=True)
    extra = values.integers("output_padding", 3, (0, 0, 0), 0, broadcast_one=True)
    for axis in range(3):
        if extra[axis] >= max(stride[axis], dilation[axis]):
            values.fail("output_padding", str(extra[axis]), "less than the stride or the dilation of its axis")
    pad = _triple(padding, 0)
    bias = values.boolean("bias", True)
    return ConvTranspose3d(
        inside, outside, _triple(kernel, 1), _triple(stride, 1), pad, pad, _triple(extra, 0), _triple(dilation, 1),
        groups, bias,
    )  # fmt: skip


def _channels(values: Values, context: Context, in_axis: int) -> tuple[int, int, int]:
    """Return groups, in_channels, out_channels; what is left out follows from the input and the weight."""
    shape = context.weight_shape
    inside = values.integer("in_channels", context.in_channels, minimum=1)
    if inside != context.in_channels:
        values.fail("in_channels", str(inside), f"{context.in_channels}, the channels of the stage's input")
    groups = values.integer("groups", inside if context.depthwise else 1, minimum=1)
    if inside % groups:
        values.fail("groups", f"{groups} groups for in_channels {inside}", "in_channels divisible by groups")
    default = None
    if shape is not None and len(shape) > 1:
        default = shape[0] if in_axis == 1 else shape[1] * groups
    outside = values.integer("out_channels", default, minimum=1)
    if outside is None:
        values.fail("out_channels", "nothing", "out_channels, for the weight is not known beforehand")
    if outside % groups:
        values.fail("groups", f"{groups} groups for out_channels {outside}", "out_channels divisible by groups")
    return groups, inside, outside


def _kernel(values: Values, context: Context, rank: int) -> tuple[int, ...]:
    shape = context.weight_shape
    default = tuple(shape[2:]) if shape is not None and len(shape) == rank + 2 else None
    if "kernel_size" not in values:
        if default is None and shape is not None:
            values.fail("weight", f"a weight of shape {shape}", f"{rank + 2} axes (out, in, kernel)")
        if default is None:
            values.fail("kernel_size", "nothing", "kernel_size, for the weight is not known beforehand")
        return default
    return values.integers("kernel_size", rank, minimum=1, broadcast_one=True)


def _padding(
    values: Values, mode: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank = len(kernel)
    if not isinstance(values.get("padding", 0), str):
        both = values.integers("padding", rank, (0,) * rank, 0, broadcast_one=mode == "zeros")
        return both, both
    name = values.choice("padding", ("same", "valid"))
    if name == "valid":
        return (0,) * rank, (0,) * rank
    if any(s != 1 for s in stride):
        values.fail("padding", f"same with stride {list(stride)}", "stride 1, or padding in voxels")
    low, high = same_padding(_triple(kernel, 1), _triple(dilation, 1))
    return low[3 - rank :], high[3 - rank :]


def _triple(values: tuple[int, ...], missing: int) -> Triple:
    padded = (missing,) * (3 - len(values)) + tuple(values)
    return (padded[0], padded[1], padded[2])


def _planar_shapes(op: Op) -> Mapping[str, tuple[int, ...]]:
    shapes = dict(op.tensor_shapes())
    shapes["weight"] = (*shapes["weight"][:2], *shapes["weight"][3:])
    return shapes


def _planar_to_canonical(op: Op, name: str, stored: Array) -> Array:
    return stored.reshape(op.tensor_shapes()[name]) if name == "weight" else stored


def fan_in(op: Op) -> int:
    """Return the fan torch scales its uniform initialisation by: ``weight.size(1) · prod(kernel)``."""
    return int(prod(op.tensor_shapes()["weight"][1:]))


_BOTH = ("weight", "bias")

DIALECT = Dialect(
    "torch",
    {
        "Conv3d": OpReader("Conv3d", _CONV, read_conv, tensors=_BOTH),
        "Conv2d": OpReader(
            "Conv2d",
            _CONV,
            lambda values, context: read_conv(values, context, rank=2),
            _planar_shapes,
            _planar_to_canonical,
            rank=2,
            tensors=_BOTH,
        ),
        "ConvTranspose3d": OpReader("ConvTranspose3d", _TRANSPOSED, read_conv_transpose, tensors=_BOTH, in_axis=0),
        **SIMPLE_READERS,
    },
    fan_in,
)

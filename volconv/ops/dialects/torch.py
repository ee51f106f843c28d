"""The torch dialect: parameters, defaults, rules and weight layouts of ``torch.nn.Conv3d`` and its relatives.

Reference: https://docs.pytorch.org/docs/stable/nn.html#convolution-layers (2.13). What torch finds at the first
forward only (a kernel of 0, a negative padding) is found here when the parameters are read.

- ``stride``, ``padding`` and ``dilation`` may be lists of one, for all axes, where torch computes them so: not
  ``padding`` in another mode than zeros, nor ``dilation`` there with ``same``: torch would pad the first axis alone.
  Lists of any other wrong length are refused there too.
- ``output_size`` of a call may have two numbers more, for batch and channels; as in torch they are not looked at.
  Beside it no list of one is taken, as in torch. ``output_padding``, which torch does not look at then, nor for a batch
  of none, is checked.
- A padding below 0, with which torch cuts off voxels in other modes than zeros, is refused; so are a dilation of 0 and
  an output of no voxels, which torch computes in transposed layers of half precision alone.
- Layers of no input channels, of which torch makes an output of no channels, are refused.
- ``BatchNorm3d`` and ``BatchNorm2d`` are those of ``eval()``: running statistics, which torch would gather of the batch
  at hand with ``track_running_stats=False``. ``num_batches_tracked`` is not needed. An ``eps`` below 0 is refused.
- ``InstanceNorm3d`` and ``GroupNorm`` refuse a single value to take statistics of, as torch does for one volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...values import Values, describe
from ..base import Op
from ..conv3d import Conv3d
from ..conv_layout import as_convolution, last, plain_shapes
from ..conv_reader import (
    LARGER,
    WEIGHT_AND_BIAS,
    described,
    larger,
    make_conv,
    make_transposed,
    read_channels,
    read_output_padding,
    read_padding,
    read_sizes,
    read_window,
    refuse_unknown,
)
from ..conv_transpose3d import ConvTranspose3d
from ..families import Readers, later
from ..initial import uniform_by_fan
from ..norm_reader import AFFINE, BIAS, EPS, NUM_FEATURES, TRACKED, format_norm, make_norm_reader, momentum
from ..reader import INT, INTS, Context, Dialect, OpReader
from ..window import PADDING_MODES

_COMMON: dict[str, Mapping[str, Any]] = {
    "in_channels": described({**INT, "minimum": 1}, "as the input's if left out"),
    "out_channels": described({**INT, "minimum": 1}, "as the weight's if left out"),
    "kernel_size": described(INTS, "int or n, ≥ 1; as the weight's if left out"),
    "stride": described(INTS, "int, n, or a list of one, ≥ 1", 1),
    "dilation": described(INTS, "int, n, or a list of one, ≥ 1", 1),
    "groups": described({**INT, "minimum": 1}, "divides both channel counts", 1),
}
_CONV: dict[str, Mapping[str, Any]] = {
    **_COMMON,
    "padding": described(
        {"oneOf": [*INTS["oneOf"], {"enum": ["same", "valid"]}]},
        "int, n, or (for zeros) a list of one, ≥ 0; `same` at stride 1; `valid`",
        0,
    ),
    "padding_mode": described({"enum": list(PADDING_MODES)}, "`zeros`, `reflect`, `replicate`, `circular`", "zeros"),
}
_TRANSPOSED: dict[str, Mapping[str, Any]] = {
    **_COMMON,
    "padding": described(INTS, "int, n, or a list of one, ≥ 0", 0),
    "padding_mode": described({"enum": ["zeros"]}, "`zeros`", "zeros"),
    "output_padding": described(INTS, f"int, n, or a list of one, < {LARGER}", 0),
}
_REFUSED = {
    "conv_mode": "torch always cross-correlates",
    "compute_mode": "it is MegEngine's",
    "auto_pad": "it is ONNX'",
    "pads": "it is ONNX'; torch pads both ends alike",
    "output_shape": "it is ONNX'",
}
_REFUSED_CONV = {**_REFUSED, "output_padding": "only transposed convolutions have it"}


_NORM = {**NUM_FEATURES, **EPS, **momentum(0.1, cumulative=True), **AFFINE, **BIAS, **TRACKED}
_REFUSED_NORM = {"freeze": "it is MegEngine's", "training_mode": "it is ONNX'"}


def _read_conv(values: Values, context: Context, rank: int) -> Conv3d:
    refuse_unknown(values, _CONV, _REFUSED_CONV)
    mode = values.choice("padding_mode", PADDING_MODES, "zeros")
    channels = read_channels(values, context, rank, in_axis=1)
    window = read_window(values, context, rank, broadcast_one=True)
    pads = read_padding(values, window, broadcast_one=mode == "zeros")
    dilation = values.get("dilation", 1)
    if mode != "zeros" and values.get("padding", 0) == "same" and isinstance(dilation, list | tuple):
        # With a list of one, torch would pad the first axis alone.
        values.integers("dilation", rank)
    return make_conv(values, channels, window, pads, mode)


def _read_transposed(values: Values, context: Context, rank: int) -> ConvTranspose3d:
    refuse_unknown(values, _TRANSPOSED, _REFUSED)
    values.choice("padding_mode", ("zeros",), "zeros")
    channels = read_channels(values, context, rank, in_axis=0)
    window = read_window(values, context, rank, broadcast_one=True)
    if isinstance(values.get("padding", 0), str):
        values.fail(
            "padding", describe(values.get("padding")), "whole numbers: a transposed convolution has no such form"
        )
    both = read_sizes(values, "padding", rank, broadcast_one=True)
    extra = read_output_padding(values, window, larger(window), LARGER, broadcast_one=True)
    return make_transposed(values, channels, window, (both, both), extra)


def format_parameters(op: Op, written: Mapping[str, Any], rank: int) -> str:
    """Return what torch prints between the parentheses."""
    op = as_convolution(op)
    parts = [f"{op.in_channels}, {op.out_channels}", f"kernel_size={last(op, 'kernel_size', rank)}"]
    parts.append(f"stride={last(op, 'stride', rank)}")
    if isinstance(written.get("padding"), str):
        parts.append(f"padding={written['padding']}")
    elif any(op.pad_low):
        parts.append(f"padding={last(op, 'pad_low', rank)}")
    if op.dilation != (1, 1, 1):
        parts.append(f"dilation={last(op, 'dilation', rank)}")
    if isinstance(op, ConvTranspose3d) and any(op.output_padding):
        parts.append(f"output_padding={last(op, 'output_padding', rank)}")
    if op.groups != 1:
        parts.append(f"groups={op.groups}")
    if not op.bias:
        parts.append("bias=False")
    if op.padding_mode != "zeros":
        parts.append(f"padding_mode={op.padding_mode}")
    return ", ".join(parts)


def _conv(name: str, rank: int) -> OpReader:
    return OpReader(
        name,
        _CONV,
        lambda values, context: _read_conv(values, context, rank),
        plain_shapes(rank),
        rank=rank,
        tensors=WEIGHT_AND_BIAS,
        refused=_REFUSED_CONV,
        text=lambda op, written: format_parameters(op, written, rank),
    )


def _transposed(name: str, rank: int) -> OpReader:
    return OpReader(
        name,
        _TRANSPOSED,
        lambda values, context: _read_transposed(values, context, rank),
        plain_shapes(rank),
        rank=rank,
        tensors=WEIGHT_AND_BIAS,
        in_axis=0,
        refused=_REFUSED,
        output_size=True,
        text=lambda op, written: format_parameters(op, written, rank),
    )


def _norm(name: str, rank: int) -> OpReader:
    return make_norm_reader(
        name, _NORM, _REFUSED_NORM, lambda op, written: format_norm(op, written, 0.1, with_bias=True), rank=rank
    )


DIALECT = Dialect(
    "torch",
    Readers(
        {
            "Conv3d": _conv("Conv3d", 3),
            "Conv2d": _conv("Conv2d", 2),
            "ConvTranspose3d": _transposed("ConvTranspose3d", 3),
            "ConvTranspose2d": _transposed("ConvTranspose2d", 2),
            "BatchNorm3d": _norm("BatchNorm3d", 3),
            "BatchNorm2d": _norm("BatchNorm2d", 2),
        },
        later("simple", lambda family: family.SIMPLE_READERS),
        later("pool_reader", lambda family: family.READERS["torch"]),
        later("resample_reader", lambda family: family.READERS["torch"]),
        later("shape_readers", lambda family: family.shape_readers("torch")),
        later("pad_readers", lambda family: family.pad_readers("torch")),
        later("channel_readers", lambda family: family.channel_readers("torch")),
        later("global_readers", lambda family: family.TORCH_GLOBAL),
        later("pixel_shuffle_reader", lambda family: family.READERS["torch"]),
        later("label_reader", lambda family: family.READERS["torch"]),
    ),
    uniform_by_fan,
)

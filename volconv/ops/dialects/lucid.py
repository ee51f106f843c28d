"""The lucid dialect: parameters, defaults, rules and weight layouts of ``lucid.nn.Conv3d`` and its relatives.

Reference: Lucid 3.8 (https://github.com/ChanLumerico/lucid), ``lucid/nn/modules/conv.py``. Lucid checks little; where
it would divide by zero, compute with the wrong numbers or fail at the first forward, the parameters are refused here.

- Initialisation follows the source, uniform within 1/sqrt(fan); Lucid's page says sqrt(6/fan).
- A kernel that does not fit is refused as the documented formula says; the source rounds a size below 1 up to 1.
- Lucid 2.x padded ``same`` alike at both ends, so that even kernels shrank the size by one: give such a network's
  padding as numbers, ``total // 2``.
- Lucid sets no limit to ``output_padding``; torch's holds here.
- ``BatchNorm3d`` and ``BatchNorm2d`` (``lucid/nn/modules/normalization.py``) are those of ``eval()``.
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
from ..norm_reader import AFFINE, EPS, NUM_FEATURES, TRACKED, format_norm, make_norm_reader, momentum
from ..reader import INT, INTS, Context, Dialect, OpReader
from ..window import PADDING_MODES

_COMMON: dict[str, Mapping[str, Any]] = {
    "in_channels": described({**INT, "minimum": 1}, "as the input's if left out"),
    "out_channels": described({**INT, "minimum": 1}, "as the weight's if left out"),
    "kernel_size": described(INTS, "int or n, ≥ 1; as the weight's if left out"),
    "stride": described(INTS, "int or n, ≥ 1", 1),
}
_CONV: dict[str, Mapping[str, Any]] = {
    **_COMMON,
    "dilation": described(INTS, "int or n, ≥ 1", 1),
    "groups": described({**INT, "minimum": 1}, "divides both channel counts", 1),
    "padding": described(
        {"oneOf": [*INTS["oneOf"], {"type": "string", "pattern": "^([Ss][Aa][Mm][Ee]|[Vv][Aa][Ll][Ii][Dd])$"}]},
        "int or n, ≥ 0; `same` at stride 1; `valid`; letters of any case",
        0,
    ),
    "padding_mode": described({"enum": list(PADDING_MODES)}, "`zeros`, `reflect`, `replicate`, `circular`", "zeros"),
}
_TRANSPOSED: dict[str, Mapping[str, Any]] = {
    **_COMMON,
    "dilation": described(INTS, "1: Lucid computes no other", 1),
    "groups": described({"const": 1}, "1: Lucid computes no other", 1),
    "padding": described(INTS, "int or n, ≥ 0", 0),
    "output_padding": described(INTS, f"int or n, < {LARGER}, as torch; Lucid checks nothing", 0),
}
_REFUSED = {
    "conv_mode": "Lucid always cross-correlates",
    "compute_mode": "it is MegEngine's",
    "auto_pad": "it is ONNX'",
    "pads": "it is ONNX'; Lucid pads both ends alike",
    "output_shape": "it is ONNX'",
}
_REFUSED_CONV = {**_REFUSED, "output_padding": "only transposed convolutions have it"}
_REFUSED_TRANSPOSED = {**_REFUSED, "padding_mode": "Lucid's transposed convolutions pad with zeros only"}


_NORM = {**NUM_FEATURES, **EPS, **momentum(0.1, cumulative=True), **AFFINE, **TRACKED}
_REFUSED_NORM = {
    "bias": "Lucid has weight and bias together, by affine",
    "freeze": "it is MegEngine's",
    "training_mode": "it is ONNX'",
}


def _read_conv(values: Values, context: Context, rank: int) -> Conv3d:
    refuse_unknown(values, _CONV, _REFUSED_CONV)
    mode = values.choice("padding_mode", PADDING_MODES, "zeros")
    channels = read_channels(values, context, rank, in_axis=1)
    window = read_window(values, context, rank)
    return make_conv(values, channels, window, read_padding(values, window, any_case=True), mode)


def _read_transposed(values: Values, context: Context, rank: int) -> ConvTranspose3d:
    refuse_unknown(values, _TRANSPOSED, _REFUSED_TRANSPOSED)
    channels = read_channels(values, context, rank, in_axis=0)
    window = read_window(values, context, rank)
    if channels.groups != 1:
        values.fail("groups", f"{channels.groups} groups", "1: Lucid's transposed convolutions have no other")
    if any(d != 1 for d in window.dilation):
        values.fail("dilation", describe(values.get("dilation")), "1: Lucid's transposed convolutions have no other")
    if isinstance(values.get("padding", 0), str):
        values.fail(
            "padding", describe(values.get("padding")), "whole numbers: a transposed convolution has no such form"
        )
    both = read_sizes(values, "padding", rank)
    extra = read_output_padding(values, window, larger(window), LARGER)
    return make_transposed(values, channels, window, (both, both), extra)


def format_parameters(op: Op, written: Mapping[str, Any], rank: int) -> str:
    """Return what Lucid prints between the parentheses."""
    op = as_convolution(op)
    padding = written.get("padding")
    parts = [
        f"{op.in_channels}, {op.out_channels}",
        f"kernel_size={last(op, 'kernel_size', rank)}",
        f"stride={last(op, 'stride', rank)}",
        f"padding={padding.lower() if isinstance(padding, str) else last(op, 'pad_low', rank)}",
    ]
    if op.padding_mode != "zeros":
        parts.append(f"padding_mode={op.padding_mode!r}")
    return ", ".join(parts)


def _reader(name: str, rank: int, *, transposed: bool) -> OpReader:
    read = _read_transposed if transposed else _read_conv
    return OpReader(
        name,
        _TRANSPOSED if transposed else _CONV,
        lambda values, context: read(values, context, rank),
        plain_shapes(rank),
        rank=rank,
        tensors=WEIGHT_AND_BIAS,
        in_axis=0 if transposed else 1,
        refused=_REFUSED_TRANSPOSED if transposed else _REFUSED_CONV,
        unbatched=False,
        text=lambda op, written: format_parameters(op, written, rank),
    )


def _norm(name: str, rank: int) -> OpReader:
    return make_norm_reader(name, _NORM, _REFUSED_NORM, lambda op, written: format_norm(op, written, 0.1), rank=rank)


DIALECT = Dialect(
    "lucid",
    Readers(
        {
            "Conv3d": _reader("Conv3d", 3, transposed=False),
            "Conv2d": _reader("Conv2d", 2, transposed=False),
            "ConvTranspose3d": _reader("ConvTranspose3d", 3, transposed=True),
            "ConvTranspose2d": _reader("ConvTranspose2d", 2, transposed=True),
            "BatchNorm3d": _norm("BatchNorm3d", 3),
            "BatchNorm2d": _norm("BatchNorm2d", 2),
        },
        later("simple", lambda family: family.SIMPLE_READERS),
        later("pool_reader", lambda family: family.READERS["lucid"]),
        later("resample_reader", lambda family: family.READERS["lucid"]),
        later("shape_readers", lambda family: family.shape_readers("lucid")),
        later("pad_readers", lambda family: family.pad_readers("lucid")),
        later("channel_readers", lambda family: family.channel_readers("lucid")),
        later("global_readers", lambda family: family.LUCID_GLOBAL),
        later("pixel_shuffle_reader", lambda family: family.READERS["lucid"]),
        later("label_reader", lambda family: family.READERS["lucid"]),
    ),
    uniform_by_fan,
)

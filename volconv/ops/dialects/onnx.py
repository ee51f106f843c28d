"""The onnx dialect: operators under torch's names with the meaning of ONNX' Conv, ConvTranspose, BatchNormalization.

Reference: https://onnx.ai/onnx/operators/onnx__Conv.html, onnx__ConvTranspose.html (opset 22) and
onnx__BatchNormalization.html.

- ``pads`` is [lows…, highs…]; ``padding`` (one number an end, as torch's) is refused beside ``auto_pad``, ``pads`` and
  ``output_shape``.
- ``auto_pad: SAME_UPPER`` and ``SAME_LOWER`` make the output ``ceil(input / stride)`` long (transposed: input times
  stride); an odd total puts the extra voxel at the end, or the beginning.
- ``output_shape`` sets the size of a transposed convolution and with it the padding; ``pads`` is ignored beside it, as
  ONNX says. Where the size is beyond what no padding gives, the output is extended at its end, as ONNX Runtime does.
- Zero padding only: other modes are ONNX' Pad, an operator of its own.
- ``BatchNorm3d`` and ``BatchNorm2d`` are BatchNormalization of opset 15: ``weight`` is its scale, ``bias`` its B,
  ``running_mean`` and ``running_var`` its input_mean and input_var, ``eps`` its epsilon.
- ``InstanceNorm3d`` is InstanceNormalization, ``GroupNorm`` GroupNormalization of opset 21, with a scale a channel;
  ``AdaptiveAvgPool3d`` and ``AdaptiveMaxPool3d`` with ``output_size: 1`` are GlobalAveragePool and GlobalMaxPool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...values import Values
from ..base import Op
from ..conv3d import Conv3d
from ..conv_layout import as_convolution, last, plain_shapes
from ..conv_reader import (
    LARGER,
    WEIGHT_AND_BIAS,
    Ints,
    Pads,
    Window,
    described,
    larger,
    make_conv,
    make_transposed,
    read_channels,
    read_output_padding,
    read_window,
    refuse_unknown,
)
from ..conv_transpose3d import ConvTranspose3d
from ..families import Readers, later
from ..initial import uniform_by_fan
from ..norm_reader import EPS, NUM_FEATURES, format_norm, make_norm_reader, momentum
from ..onnx_padding import AUTO_PADS, read_auto_pad, read_pads, spatial_lengths, split_padding, total_forward
from ..reader import INT, INTS, Context, Dialect, OpReader

_CONV: dict[str, Mapping[str, Any]] = {
    "in_channels": described({**INT, "minimum": 1}, "as the input's if left out"),
    "out_channels": described({**INT, "minimum": 1}, "as the weight's if left out"),
    "kernel_size": described(INTS, "int or n, ≥ 1; as the weight's if left out"),
    "stride": described(INTS, "int or n, ≥ 1", 1),
    "dilation": described(INTS, "int or n, ≥ 1", 1),
    "groups": described({**INT, "minimum": 1}, "divides both channel counts", 1),
    "padding": described(INTS, "int or n, ≥ 0; not beside `auto_pad`, `pads`, `output_shape`", 0),
    "auto_pad": described({"enum": list(AUTO_PADS)}, "`NOTSET`, `VALID`, `SAME_UPPER`, `SAME_LOWER`", "NOTSET"),
    "pads": described(
        {"type": "array", "items": {**INT, "minimum": 0}}, "2n, lows then highs, ≥ 0; at `auto_pad` NOTSET only"
    ),
}
_TRANSPOSED: dict[str, Mapping[str, Any]] = {
    **_CONV,
    "output_padding": described(INTS, f"int or n, < {LARGER}", 0),
    "output_shape": described(INTS, "int or n, ≥ 1; `pads` is ignored beside it"),
}
_REFUSED = {
    "padding_mode": "ONNX pads with zeros only; other modes are its Pad operator",
    "conv_mode": "ONNX always cross-correlates",
    "compute_mode": "it is MegEngine's",
}
_REFUSED_CONV = {
    **_REFUSED,
    "output_padding": "only transposed convolutions have it",
    "output_shape": "only transposed convolutions have it",
}


_NORM: dict[str, Mapping[str, Any]] = {
    **NUM_FEATURES,
    **EPS,
    **momentum(0.9, cumulative=False),
    "training_mode": described({"const": 0}, "0: another gathers statistics", 0),
}
_WHOLE = "ONNX always has scale and B"
_REFUSED_NORM = {
    "affine": _WHOLE,
    "bias": _WHOLE,
    "track_running_stats": "ONNX says training_mode",
    "freeze": "it is MegEngine's",
}


def _read_conv(values: Values, context: Context, rank: int) -> Conv3d:
    refuse_unknown(values, _CONV, _REFUSED_CONV)
    channels = read_channels(values, context, rank, in_axis=1)
    window = read_window(values, context, rank)
    auto = read_auto_pad(values)
    pads = read_pads(values, auto, rank)
    if auto.startswith("SAME"):
        pads = split_padding(total_forward(window, spatial_lengths(context, rank)), at_end=auto == "SAME_UPPER")
        return replace(make_conv(values, channels, window, pads), padding_from=("auto_pad", auto))
    return make_conv(values, channels, window, pads)


def _read_transposed(values: Values, context: Context, rank: int) -> ConvTranspose3d:
    refuse_unknown(values, _TRANSPOSED, _REFUSED)
    channels = read_channels(values, context, rank, in_axis=0)
    window = read_window(values, context, rank)
    extra = read_output_padding(values, window, larger(window), LARGER)
    auto = read_auto_pad(values)
    pads = read_pads(values, auto, rank)
    size = values.integers("output_shape", rank, minimum=1) if "output_shape" in values else None
    lengths = spatial_lengths(context, rank)
    shown: tuple[str, Any] | None = None if size is None else ("output_shape", size)
    if size is None and auto.startswith("SAME"):
        shown = ("auto_pad", auto)
        if lengths is not None:
            size = tuple(length * s for length, s in zip(lengths, window.stride, strict=True))
    if size is not None:
        pads, extra = _fit(window, extra, lengths, size, at_end=auto == "SAME_UPPER")
    return replace(make_transposed(values, channels, window, pads, extra), padding_from=shown)


def _fit(window: Window, extra: Ints, lengths: Ints | None, size: Ints, *, at_end: bool) -> tuple[Pads, Ints]:
    """Return padding and output padding that make the output of a transposed convolution `size` long."""
    if lengths is None:
        return split_padding((0,) * window.rank, at_end=at_end), extra
    full = [
        (length - 1) * s + reach + 1 + more
        for length, s, reach, more in zip(lengths, window.stride, window.reach, extra, strict=True)
    ]
    pads = split_padding(tuple(max(0, have - want) for have, want in zip(full, size, strict=True)), at_end=at_end)
    more = tuple(e + max(0, want - have) for e, have, want in zip(extra, full, size, strict=True))
    return pads, more


def format_parameters(op: Op, written: Mapping[str, Any], rank: int) -> str:
    """Return the parameters in ONNX' terms; ONNX has no classes and prints nothing itself."""
    op = as_convolution(op)
    parts = [
        f"{op.in_channels}, {op.out_channels}",
        f"kernel_size={last(op, 'kernel_size', rank)}",
        f"stride={last(op, 'stride', rank)}",
    ]
    if op.dilation != (1, 1, 1):
        parts.append(f"dilation={last(op, 'dilation', rank)}")
    if written.get("auto_pad", "NOTSET") != "NOTSET":
        parts.append(f"auto_pad={written['auto_pad']}")
    elif any(op.pad_low) or any(op.pad_high):
        parts.append(f"pads={[*last(op, 'pad_low', rank), *last(op, 'pad_high', rank)]}")
    parts += [f"{key}={written[key]}" for key in ("output_padding", "output_shape") if key in written]
    if op.groups != 1:
        parts.append(f"groups={op.groups}")
    if not op.bias:
        parts.append("bias=False")
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
        refused=_REFUSED if transposed else _REFUSED_CONV,
        unbatched=False,
        text=lambda op, written: format_parameters(op, written, rank),
    )


def _norm(name: str, rank: int) -> OpReader:
    return make_norm_reader(name, _NORM, _REFUSED_NORM, lambda op, written: format_norm(op, written, 0.9), rank=rank)


DIALECT = Dialect(
    "onnx",
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
        later("pool_reader", lambda family: family.READERS["onnx"]),
        later("resample_reader", lambda family: family.READERS["onnx"]),
        later("shape_readers", lambda family: family.shape_readers("onnx")),
        later("pad_readers", lambda family: family.pad_readers("onnx")),
        later("channel_readers", lambda family: family.channel_readers("onnx")),
        later("global_readers", lambda family: family.ONNX_GLOBAL),
        later("pixel_shuffle_reader", lambda family: family.READERS["onnx"]),
        later("label_reader", lambda family: family.READERS["onnx"]),
    ),
    uniform_by_fan,
)

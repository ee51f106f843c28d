"""The megengine dialect: parameters, defaults, rules and layouts of ``megengine.module.Conv3d`` and its relatives.

Reference: https://github.com/MegEngine/MegEngine at 47952c07 (2024), ``imperative/python/megengine/module/conv.py``.
What MegEngine asserts at the first forward only is found here when the parameters are read.

- Weights of more than one group are (G, O/G, I/G, …), transposed (G, I/G, O/G, …). One group is never an axis.
- ``ConvTranspose3d`` of several groups is refused: MegEngine never hands ``groups`` on to its kernel there and fails.
  The torch dialect computes it; ``layout: megengine`` reads such weights.
- ``ConvTranspose3d`` takes (C, D, H, W), as its page says; the other classes take batches alone.
- A transposed convolution whose size is below 1 before ``output_padding`` is refused, as MegEngine asserts.
- Sizes are ints or lists of exactly n ints; MegEngine's constructor would also truncate 2.7 and split "333".
- ``compute_mode: default`` promises nothing and ``float32`` sums in float32, so summing in float32 serves both.
- An all-float16 MegEngine rounds before and after it adds the bias; here the sum is rounded once.
- ``BatchNorm2d`` (``module/batchnorm.py``; there is none in 3-D) is that of ``eval()``; its tensors are (1, C, 1, 1),
  and ``freeze`` changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

from ...errors import ShapeError
from ...values import Values, describe
from ..base import AXIS_NAMES, Op
from ..conv3d import Conv3d
from ..conv_layout import as_convolution, grouped_shapes, grouped_to_plain, last
from ..conv_reader import (
    WEIGHT_AND_BIAS,
    Window,
    described,
    make_conv,
    make_transposed,
    read_channels,
    read_output_padding,
    read_sizes,
    read_window,
    refuse_unknown,
)
from ..conv_transpose3d import ConvTranspose3d
from ..families import Readers, later
from ..initial import Initial
from ..norm_reader import AFFINE, EPS, NUM_FEATURES, TRACKED, format_norm, make_norm_reader, momentum
from ..reader import INT, INTS, Context, Dialect, OpReader

_MODES = ("zeros", "reflect", "replicate")
_STRIDE = "the stride"
_COMMON: dict[str, Mapping[str, Any]] = {
    "in_channels": described({**INT, "minimum": 1}, "as the input's if left out"),
    "out_channels": described({**INT, "minimum": 1}, "as the weight's if left out"),
    "kernel_size": described(INTS, "int or n, ≥ 1; as the weight's if left out"),
    "stride": described(INTS, "int or n, ≥ 1", 1),
    "dilation": described(INTS, "int or n, ≥ 1", 1),
    "padding": described(INTS, "int or n, ≥ 0; no text", 0),
    "groups": described({**INT, "minimum": 1}, "divides both channel counts", 1),
}
_CONV_MODE = {
    "conv_mode": described({"type": "string"}, "`cross_correlation`, letters of any case", "cross_correlation")
}
_COMPUTE_MODE = {
    "compute_mode": described({"type": "string"}, "`default` or `float32`, letters of any case", "default")
}
_PADDING_MODE = {"padding_mode": described({"enum": list(_MODES)}, "`zeros`, `reflect`, `replicate`", "zeros")}
_ONE_GROUP = {"groups": described({"const": 1}, "1: MegEngine computes no other", 1)}
_OUTPUT_PADDING = {"output_padding": described(INTS, f"int or n, < {_STRIDE}", 0)}

_ONNX_ONLY = {
    "auto_pad": "it is ONNX'",
    "pads": "it is ONNX'; MegEngine pads both ends alike",
    "output_shape": "it is ONNX'",
}
_ZEROS_ONLY = {"padding_mode": "MegEngine pads with zeros only here"}
_NOT_TRANSPOSED = {"output_padding": "only transposed convolutions have it"}
_NO_COMPUTE_MODE = {"compute_mode": "MegEngine has it in 2-D only"}


@dataclass(frozen=True)
class _Kind:
    """One of MegEngine's classes."""

    name: str
    rank: int
    transposed: bool
    parameters: Mapping[str, Mapping[str, Any]]
    refused: Mapping[str, str]

    def read(self, values: Values, context: Context) -> Op:
        """Return the canonical operator."""
        refuse_unknown(values, self.parameters, self.refused)
        _check_word(values, "conv_mode", ("cross_correlation",), "; MegEngine never flips a kernel")
        _check_word(values, "compute_mode", ("default", "float32"), "")
        if isinstance(values.get("padding", 0), str):
            values.fail("padding", describe(values.get("padding")), "whole numbers: MegEngine has no such form")
        return self._read_transposed(values, context) if self.transposed else self._read_conv(values, context)

    def _read_conv(self, values: Values, context: Context) -> Conv3d:
        mode = values.choice("padding_mode", _MODES, "zeros")
        channels = read_channels(values, context, self.rank, in_axis=1)
        window = read_window(values, context, self.rank)
        both = read_sizes(values, "padding", self.rank)
        return make_conv(values, channels, window, (both, both), mode)

    def _read_transposed(self, values: Values, context: Context) -> ConvTranspose3d:
        channels = read_channels(values, context, self.rank, in_axis=0)
        if self.rank == 3 and channels.groups != 1:
            values.fail(
                "groups",
                f"{channels.groups} groups",
                "1: MegEngine's ConvTranspose3d never hands groups on to its kernel and fails; "
                "the torch dialect computes it, and reads such weights by layout: megengine",
            )
        window = read_window(values, context, self.rank)
        both = read_sizes(values, "padding", self.rank)
        extra = read_output_padding(values, window, window.stride, _STRIDE)
        op = make_transposed(values, channels, window, (both, both), extra)
        _check_base(op, context, window)
        return op

    def text(self, op: Op, written: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return what MegEngine prints between the parentheses."""
        op = as_convolution(op)
        parts = [f"{op.in_channels}, {op.out_channels}", f"kernel_size={last(op, 'kernel_size', self.rank)}"]
        shown = (
            ("stride", "stride", (1, 1, 1)),
            ("padding", "pad_low", (0, 0, 0)),
            ("dilation", "dilation", (1, 1, 1)),
        )
        parts += [f"{name}={last(op, key, self.rank)}" for name, key, plain in shown if getattr(op, key) != plain]
        if op.groups != 1:
            parts.append(f"groups={op.groups}")
        if not op.bias:
            parts.append("bias=False")
        return ", ".join(parts)

    def reader(self) -> OpReader:
        """Return how the class is read."""
        return OpReader(
            self.name,
            self.parameters,
            self.read,
            grouped_shapes(self.rank),
            plain_shape=grouped_to_plain(self.rank),
            rank=self.rank,
            tensors=WEIGHT_AND_BIAS,
            in_axis=0 if self.transposed else 1,
            refused=self.refused,
            # Of all its pages, only that of ConvTranspose3d lists (C, D, H, W).
            unbatched=self.transposed and self.rank == 3,
            text=self.text,
        )


def _check_word(values: Values, key: str, words: tuple[str, ...], note: str) -> None:
    word = values.get(key, words[0])
    if not isinstance(word, str) or word.lower() not in words:
        values.fail(key, describe(word), f"{' or '.join(words)}{note}")


def _check_base(op: ConvTranspose3d, context: Context, window: Window) -> None:
    """Raise where only ``output_padding`` would lift the size to 1: MegEngine asserts the size without it."""
    if context.shape is None:
        return
    for axis in range(3 - window.rank, 3):
        length = context.shape[axis]
        reach = op.dilation[axis] * (op.kernel_size[axis] - 1)
        base = (length - 1) * op.stride[axis] - 2 * op.pad_low[axis] + reach + 1
        if base < 1:
            raise ShapeError(
                f"output of {base} voxels along {AXIS_NAMES[axis]} before output_padding, from an input of {length}; "
                "MegEngine expects at least 1"
            )


def initial_normal(op: Op, name: str, rank: int) -> Initial:
    """Return what MegEngine draws from: a weight is normal of variance 1/fan, a bias zero.

    The fan counts all input channels, never divided by groups; for ConvTranspose2d it counts the output channels.
    """
    if name != "weight":
        return Initial("zeros")
    op = as_convolution(op)
    by_output = isinstance(op, ConvTranspose3d) and rank == 2
    return Initial("normal", 1.0 / sqrt(prod(op.kernel_size) * (op.out_channels if by_output else op.in_channels)))


_KINDS = (
    _Kind("Conv3d", 3, False, {**_COMMON, **_CONV_MODE},
          {**_ONNX_ONLY, **_NOT_TRANSPOSED, **_ZEROS_ONLY, **_NO_COMPUTE_MODE}),
    _Kind("Conv2d", 2, False, {**_COMMON, **_PADDING_MODE, **_CONV_MODE, **_COMPUTE_MODE},
          {**_ONNX_ONLY, **_NOT_TRANSPOSED}),
    _Kind("ConvTranspose3d", 3, True, {**_COMMON, **_ONE_GROUP, **_OUTPUT_PADDING},
          {**_ONNX_ONLY, **_ZEROS_ONLY, **_NO_COMPUTE_MODE, "conv_mode": "MegEngine's ConvTranspose3d has it not"}),
    _Kind("ConvTranspose2d", 2, True, {**_COMMON, **_OUTPUT_PADDING, **_CONV_MODE, **_COMPUTE_MODE},
          {**_ONNX_ONLY, **_ZEROS_ONLY}),
)  # fmt: skip

_NORM = {
    **NUM_FEATURES,
    **EPS,
    **momentum(0.9, cumulative=False),
    **AFFINE,
    **TRACKED,
    "freeze": described({"type": "boolean"}, "true or false; of training alone", False),
}
_REFUSED_NORM = {"bias": "MegEngine has weight and bias together, by affine", "training_mode": "it is ONNX'"}
_BATCH_NORM = make_norm_reader(
    "BatchNorm2d",
    _NORM,
    _REFUSED_NORM,
    lambda op, written: format_norm(op, written, 0.9),
    rank=2,
    stored_shape=lambda channels: (1, channels, 1, 1),
)

DIALECT = Dialect(
    "megengine",
    Readers(
        {
            **{kind.name: kind.reader() for kind in _KINDS},
            "BatchNorm2d": _BATCH_NORM,
        },
        later("simple", lambda family: family.SIMPLE_READERS),
        later("pool_reader", lambda family: family.READERS["megengine"]),
        later("shape_readers", lambda family: family.shape_readers("megengine")),
        later("pad_readers", lambda family: family.pad_readers("megengine")),
        later("channel_readers", lambda family: family.channel_readers("megengine")),
        later("pixel_shuffle_reader", lambda family: family.READERS["megengine"]),
        later("label_reader", lambda family: family.READERS["megengine"]),
    ),
    initial_normal,
)

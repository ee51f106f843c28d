"""Readers of what works on a voxel's channels: Linear, LayerNorm, and dropouts, which do nothing at inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..values import Values, describe
from .base import Op
from .conv3d import Conv3d
from .conv_reader import WEIGHT_AND_BIAS, described
from .identity import Identity
from .layer_norm import LayerNorm
from .reader import INT, NUMBER, Context, OpReader, Shape

_FLAG = {"type": "boolean"}
_COUNT = {**INT, "minimum": 1}
_LINEAR = {
    "in_features": described(_COUNT, "the input's channels, if given"),
    "out_features": described(_COUNT, "as the weight's if left out"),
}
_COMPUTE_MODE = {"compute_mode": described({"type": "string"}, "any text: it changes nothing")}
_SHAPE = {"oneOf": [INT, {"type": "array", "items": INT, "minItems": 1, "maxItems": 1}]}


def channel_readers(dialect: str) -> dict[str, OpReader]:
    """Return the readers of `dialect`."""
    readers = (_linear_reader(dialect), _layer_norm_reader(dialect), *_dropout_readers(dialect))
    return {reader.name: reader for reader in readers}


def _linear_reader(dialect: str) -> OpReader:
    parameters = {**_LINEAR, **(_COMPUTE_MODE if dialect == "megengine" else {})}

    def read(values: Values, context: Context) -> Op:
        values.refuse_unknown((*parameters, "bias"))
        shape = context.weight_shape
        if shape is not None and len(shape) != 2:
            values.fail(
                "weight", f"a weight of shape {shape}", "2 axes: out_features, in_features", code="weights.shape"
            )
        inside = values.integer("in_features", context.in_channels, minimum=1)
        if inside != context.in_channels:
            values.fail("in_features", str(inside), f"{context.in_channels}, the channels of the stage's input")
        outside = values.integer("out_features", None if shape is None else shape[0], minimum=1)
        if outside is None:
            values.fail("out_features", "nothing", "out_features, for the weight is not known beforehand")
        return Conv3d(inside, outside, (1, 1, 1), bias=values.boolean("bias", True))

    def stored_shapes(op: Op) -> Mapping[str, Shape]:
        shapes = dict(op.tensor_shapes())
        return {**shapes, "weight": shapes["weight"][:2]}

    return OpReader("Linear", parameters, read, stored_shapes, tensors=WEIGHT_AND_BIAS)


def _layer_norm_reader(dialect: str) -> OpReader:
    affine = "affine" if dialect == "megengine" else "elementwise_affine"
    parameters: dict[str, Mapping[str, Any]] = {
        "normalized_shape": described(_SHAPE, "the input's channels, if given"),
        "eps": described({**NUMBER, "minimum": 0}, "added to the variance", 1e-5),
    }
    if dialect == "onnx":
        parameters["axis"] = described({"const": -1}, "-1: the channels of an array that has them last", -1)
        parameters["bias"] = described(_FLAG, "false: no `bias`", True)
    else:
        parameters[affine] = described(_FLAG, "false: no `weight`, no `bias`", True)
    if dialect in ("torch", "lucid"):
        parameters["bias"] = described(_FLAG, "false: no `bias`", True)

    def read(values: Values, context: Context) -> Op:
        values.refuse_unknown(parameters)
        channels = context.in_channels
        for found in values.integers("normalized_shape", 1, (channels,), 1):
            if found != channels:
                values.fail("normalized_shape", str(found), f"{channels}, the channels of the stage's input")
        if values.get("axis", -1) != -1:
            values.fail("axis", describe(values.get("axis")), "-1: the channels alone are normalised together")
        weight = values.boolean(affine, True)
        bias = weight and values.boolean("bias", True)
        return LayerNorm(channels, values.number("eps", 1e-5, minimum=0.0), weight, bias)

    return OpReader("LayerNorm", parameters, read, tensors=WEIGHT_AND_BIAS, follows_weight=False)


def _dropout_readers(dialect: str) -> list[OpReader]:
    """Return the readers of layers that drop values in training alone."""
    share = {**NUMBER, "minimum": 0, "maximum": 1}
    if dialect == "onnx":
        parameters = {
            "ratio": described(share, "of training alone", 0.5),
            "seed": described(INT, "of training alone"),
            "training_mode": described({"const": False}, "false: nothing is dropped at inference", False),
        }
        names: tuple[str, ...] = ("Dropout",)
    elif dialect == "megengine":
        parameters, names = {"drop_prob": described(share, "of training alone", 0.0)}, ("Dropout",)
    else:
        parameters = {"p": described(share, "of training alone", 0.5)}
        names = ("Dropout", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
        names = names if dialect == "torch" else ("Dropout", "Dropout2d", "AlphaDropout")

    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(parameters)
        for key in ("p", "drop_prob", "ratio"):
            if key in values and not 0 <= values.number(key) <= 1:
                values.fail(key, describe(values.get(key)), "0 to 1")
        if values.boolean("training_mode", False):
            values.fail("training_mode", "true", "false: nothing is dropped at inference")
        values.integer("seed", None)
        return Identity()

    return [OpReader(name, parameters, read) for name in names]

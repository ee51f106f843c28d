"""What the dialects share in reading instance and group normalisation, each with its own parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from ..values import Values
from .base import Array, Op
from .batch_norm import STATISTICS, BatchNorm, check_statistics
from .conv_reader import described
from .group_norm import GroupNorm
from .norm_reader import AFFINE, EPS, NUM_FEATURES
from .reader import INT, Context, OpReader

_COUNT = {**INT, "minimum": 1}
_FLAG = {"type": "boolean"}
_WHOLE = "ONNX always has scale and B"
NUM_GROUPS = {"num_groups": described(_COUNT, "divides the channels")}
NUM_CHANNELS = {"num_channels": described(_COUNT, "the input's channels, if given")}
NO_AFFINE = {"affine": described(_FLAG, "true: with `weight` and `bias`", False)}
BIAS = {"bias": described(_FLAG, "false: no `bias`", True)}
OWN_OR_TRACKED = {
    "momentum": described({"type": ["number", "null"]}, "number or null; of training alone", 0.1),
    "track_running_stats": described(_FLAG, "true: by `running_mean` and `running_var`, as `BatchNorm3d`", False),
}
INSTANCE_NORM: dict[str, Mapping[str, Any]] = {**NUM_FEATURES, **EPS, **NO_AFFINE, **OWN_OR_TRACKED}
GROUP_NORM: dict[str, Mapping[str, Any]] = {**NUM_GROUPS, **NUM_CHANNELS, **EPS, **AFFINE}
ONNX_INSTANCE_NORM: dict[str, Mapping[str, Any]] = {**NUM_FEATURES, **EPS}
ONNX_GROUP_NORM: dict[str, Mapping[str, Any]] = {**NUM_GROUPS, **NUM_CHANNELS, **EPS}
ONNX_REFUSED = {
    "affine": _WHOLE,
    "bias": _WHOLE,
    "momentum": "ONNX knows no training here",
    "track_running_stats": "running statistics make a BatchNormalization",
}


@dataclass(frozen=True)
class Rules:
    """What differs between dialects.

    Attributes
    ----------
    parameters, refused : mapping
        As `OpReader` has them.
    affine : bool
        The default of ``affine``; what a dialect without that parameter does.
    lone : bool
        Whether statistics of a single value are taken; their variance is 0.
    text : callable
        As `OpReader` has it.
    """

    parameters: Mapping[str, Mapping[str, Any]]
    refused: Mapping[str, str]
    affine: bool
    lone: bool
    text: Callable[[Op, Mapping[str, Any]], str]


def make_instance_norm_reader(name: str, rules: Rules) -> OpReader:
    """Return the reader of a dialect's instance normalisation of volumes."""

    def read(values: Values, context: Context) -> Op:
        values.refuse_keys(rules.refused)
        values.refuse_unknown(rules.parameters)
        channels = values.integer("num_features", context.in_channels, minimum=1)
        if channels != context.in_channels:
            values.fail("num_features", str(channels), f"{context.in_channels}, the channels of the stage's input")
        eps = values.number("eps", 1e-5, minimum=0.0)
        affine = values.boolean("affine", rules.affine)
        bias = affine and values.boolean("bias", True)
        if values.get("momentum", None) is not None:
            values.number("momentum", 0.1)
        if values.boolean("track_running_stats", False):
            return BatchNorm(channels, eps, affine, bias)
        _check_size(values, context, 1, rules)
        return GroupNorm(channels, channels, eps, affine, bias)

    return _reader(name, rules, read, ("weight", "bias", *STATISTICS))


def make_group_norm_reader(name: str, rules: Rules) -> OpReader:
    """Return the reader of a dialect's group normalisation."""

    def read(values: Values, context: Context) -> Op:
        values.refuse_keys(rules.refused)
        values.refuse_unknown(rules.parameters)
        channels = values.integer("num_channels", context.in_channels, minimum=1)
        if channels != context.in_channels:
            values.fail("num_channels", str(channels), f"{context.in_channels}, the channels of the stage's input")
        if "num_groups" not in values:
            values.fail(None, "no num_groups", f"num_groups, which divides {channels} channels")
        groups = values.integer("num_groups", minimum=1)
        if channels % groups:
            values.fail("num_groups", str(groups), f"a divisor of {channels}, the channels of the stage's input")
        affine = values.boolean("affine", rules.affine)
        _check_size(values, context, channels // groups, rules)
        eps = values.number("eps", 1e-5, minimum=0.0)
        return GroupNorm(groups, channels, eps, affine, affine and values.boolean("bias", True))

    return _reader(name, rules, read, ("weight", "bias"))


def _reader(name: str, rules: Rules, read: Callable[[Values, Context], Op], tensors: tuple[str, ...]) -> OpReader:
    return OpReader(
        name,
        rules.parameters,
        read,
        tensors=tensors,
        follows_weight=False,
        check_tensors=_check,
        ignored=("num_batches_tracked",) if "running_mean" in tensors else (),
        refused=rules.refused,
        text=rules.text,
    )


def _check(op: Op, tensors: Mapping[str, Array], dtype: str) -> None:
    if isinstance(op, BatchNorm):
        check_statistics(op, tensors, dtype)


def _check_size(values: Values, context: Context, channels: int, rules: Rules) -> None:
    if not rules.lone and context.shape is not None and prod(context.shape) * channels == 1:
        values.fail(None, "an input of one voxel", "more than one value to take mean and variance of")


def format_instance_norm(op: Op, written: Mapping[str, Any], *, with_bias: bool) -> str:
    """Return what torch and Lucid print between the parentheses; `with_bias` where ``bias`` is among it."""
    assert isinstance(op, GroupNorm | BatchNorm)
    channels = op.num_channels if isinstance(op, GroupNorm) else op.num_features
    parts = [str(channels), f"eps={op.eps}", f"momentum={written.get('momentum', 0.1)}", f"affine={op.weight}"]
    if with_bias:
        parts.append(f"bias={op.bias}")
    return ", ".join([*parts, f"track_running_stats={isinstance(op, BatchNorm)}"])


def format_group_norm(op: Op, written: Mapping[str, Any], *, with_bias: bool) -> str:  # noqa: ARG001
    """Return what torch and Lucid print between the parentheses; `with_bias` where ``bias`` is among it."""
    assert isinstance(op, GroupNorm)
    bias = f", bias={op.bias}" if with_bias else ""
    return f"{op.num_groups}, {op.num_channels}, eps={op.eps}, affine={op.weight}{bias}"

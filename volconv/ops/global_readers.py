"""Readers of the operators that need their whole input: norms by a volume's own statistics, and pools to one voxel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from ..values import Values, describe
from .base import Op
from .conv_reader import described
from .global_pool import GlobalPool
from .group_norm_reader import (
    BIAS,
    GROUP_NORM,
    INSTANCE_NORM,
    ONNX_GROUP_NORM,
    ONNX_INSTANCE_NORM,
    ONNX_REFUSED,
    Rules,
    format_group_norm,
    format_instance_norm,
    make_group_norm_reader,
    make_instance_norm_reader,
)
from .reader import INTS, Context, OpReader

GLOBAL_OPERATORS = ("InstanceNorm3d", "GroupNorm", "AdaptiveAvgPool3d", "AdaptiveMaxPool3d")
_NO_BIAS = {"bias": "Lucid has weight and bias together, by affine"}


def _pool_reader(name: str, kind: Literal["average", "max"], *, indices: bool) -> OpReader:
    parameters: dict[str, Mapping[str, Any]] = {"output_size": described(INTS, "1, or a list of three 1")}
    if indices:
        parameters["return_indices"] = described({"const": False}, "false", False)

    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(parameters)
        if "output_size" not in values:
            values.fail(None, "no output_size", "output_size: 1")
        if values.integers("output_size", 3, minimum=1) != (1, 1, 1):
            values.fail("output_size", describe(values.get("output_size")), "1: the whole volume becomes one voxel")
        if values.boolean("return_indices", False):
            values.fail("return_indices", "true", "false: a stage has one result")
        return GlobalPool(kind)

    return OpReader(name, parameters, read, text=_format_pool)


def _format_pool(op: Op, written: Mapping[str, Any]) -> str:  # noqa: ARG001
    size = written["output_size"]
    return f"output_size={tuple(size) if isinstance(size, list) else size}"


def make_global_readers(instance: Rules, group: Rules, *, indices: bool = False) -> dict[str, OpReader]:
    """Return the readers of `GLOBAL_OPERATORS` for a dialect with these norms.

    With `indices` the largest value's place could be asked for, and is refused.
    """
    return {
        "InstanceNorm3d": make_instance_norm_reader("InstanceNorm3d", instance),
        "GroupNorm": make_group_norm_reader("GroupNorm", group),
        "AdaptiveAvgPool3d": _pool_reader("AdaptiveAvgPool3d", "average", indices=False),
        "AdaptiveMaxPool3d": _pool_reader("AdaptiveMaxPool3d", "max", indices=indices),
    }


def _as_torch(*, lucid: bool) -> dict[str, OpReader]:
    refused, more = (_NO_BIAS, {}) if lucid else ({}, BIAS)
    instance, group = (partial(form, with_bias=not lucid) for form in (format_instance_norm, format_group_norm))
    return make_global_readers(
        Rules({**INSTANCE_NORM, **more}, refused, affine=False, lone=lucid, text=instance),
        Rules({**GROUP_NORM, **more}, refused, affine=True, lone=lucid, text=group),
        indices=not lucid,
    )


TORCH_GLOBAL = _as_torch(lucid=False)
LUCID_GLOBAL = _as_torch(lucid=True)
ONNX_GLOBAL = make_global_readers(
    Rules(ONNX_INSTANCE_NORM, ONNX_REFUSED, affine=True, lone=True, text=lambda op, written: ""),  # noqa: ARG005
    Rules(ONNX_GROUP_NORM, ONNX_REFUSED, affine=True, lone=True, text=lambda op, written: ""),  # noqa: ARG005
)

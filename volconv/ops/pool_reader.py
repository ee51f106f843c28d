"""How every dialect writes pooling; operators in 2-D work slice by slice over D.

- torch: ``stride`` is ``kernel_size`` where it is left out or null; ``padding`` at most half of ``kernel_size``;
  ``AvgPool3d``, though not ``AvgPool2d``, wants a volume of at least ``kernel_size``. Lists of one stand for all axes.
- Lucid 3.8 (``lucid/nn/modules/pooling.py``) takes more parameters than it hands on to its kernels: those have to be
  at their defaults. Its limit for ``padding`` is taken to be torch's.
- MegEngine has pooling in 2-D alone; its mean leaves padding out unless ``mode`` is ``average``.
- ONNX' MaxPool and AveragePool (opset 22): ``stride`` is 1 where it is left out; ``padding`` or ``pads`` less than the
  window. Its Indices are not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..geometry import Triple
from ..values import Values, describe
from .avg_pool3d import AvgPool3d
from .base import AXIS_NAMES
from .conv_reader import Ints, Pads, Window, described, read_sizes, triple
from .max_pool3d import MaxPool3d
from .onnx_padding import AUTO_PADS, read_auto_pad, read_pads, spatial_lengths, split_padding, total_forward
from .pool import Pool
from .reader import INT, INTS, Context, OpReader

Parameters = dict[str, Mapping[str, Any]]

_FLAG = {"type": "boolean"}
_SWITCH = {"enum": [0, 1, True, False]}
_NULLABLE = {"oneOf": [*INTS["oneOf"], {"type": "null"}]}
_NOT_ONNX = {"auto_pad": "it is ONNX'", "pads": "it is ONNX'", "mode": "it is MegEngine's"}
_UNPASSED = "Lucid never hands it on to its kernel"


@dataclass(frozen=True)
class _Kind:
    """One pooling class of one dialect.

    Attributes
    ----------
    parameters : mapping
        Those of the mean where `mean`, else those of the largest value.
    refused : mapping
    broadcast_one : bool
        Whether a list of one number stands for all axes.
    """

    name: str
    rank: int
    mean: bool
    parameters: Parameters
    refused: Mapping[str, str] = field(default_factory=dict)
    broadcast_one: bool = False

    def reader(self, read: Callable[[_Kind, Values, Context], Pool]) -> OpReader:
        """Return the class as the registry takes it."""
        return OpReader(
            self.name, self.parameters, lambda values, context: read(self, values, context), rank=self.rank,
            refused=self.refused,
        )  # fmt: skip

    def check_keys(self, values: Values) -> None:
        """Raise for the first key the class does not have."""
        values.refuse_keys(self.refused)
        values.refuse_unknown(self.parameters)

    def window(self, values: Values, stride: Ints | None = None) -> Window:
        """Return the window; `stride` where it is left out, by default the kernel."""
        ones = (1,) * self.rank
        kernel = values.integers("kernel_size", self.rank, minimum=1, broadcast_one=self.broadcast_one)
        given = values.get("stride", None) is not None
        return Window(
            kernel,
            values.integers("stride", self.rank, None, 1, self.broadcast_one) if given else stride or kernel,
            values.integers("dilation", self.rank, ones, 1, self.broadcast_one),
        )

    def make(self, window: Window, pads: Pads, *, ceil_mode: bool, count: bool = True, divisor: int = 0) -> Pool:
        """Return the canonical operator, with a depth of one voxel where the window slides over H and W alone."""
        shared: tuple[Triple, Triple, Triple, Triple, Triple] = (
            triple(window.kernel, 1), triple(window.stride, 1), triple(pads[0], 0), triple(pads[1], 0),
            triple(window.dilation, 1),
        )  # fmt: skip
        if self.mean:
            return AvgPool3d(*shared, ceil_mode, count_include_pad=count, divisor=divisor)
        return MaxPool3d(*shared, ceil_mode)


def _check_half(values: Values, pads: Ints, window: Window) -> None:
    for pad, kernel in zip(pads, window.kernel, strict=True):
        if 2 * pad > kernel:
            values.fail("padding", str(pad), f"at most half of kernel_size {kernel}")


def _read_torch(kind: _Kind, values: Values, context: Context) -> Pool:
    kind.check_keys(values)
    window = kind.window(values)
    pads = read_sizes(values, "padding", kind.rank, broadcast_one=kind.broadcast_one)
    _check_half(values, pads, window)
    if values.boolean("return_indices", False):
        values.fail("return_indices", "true", "false: indices are not computed")
    divisor = 0
    if values.get("divisor_override", None) is not None:
        divisor = values.integer("divisor_override")
        if divisor == 0:
            values.fail("divisor_override", "0", "another number, or null")
    if kind.mean and kind.rank == 3 and context.shape is not None:
        for axis, (length, kernel) in enumerate(zip(context.shape, window.kernel, strict=True)):
            if length < kernel:
                found = f"{kernel} along {AXIS_NAMES[axis]} for a volume of {length} voxels"
                values.fail("kernel_size", found, "at most the volume, padding left out, as torch's AvgPool3d")
    ceil_mode, count = values.boolean("ceil_mode", False), values.boolean("count_include_pad", True)
    return kind.make(window, (pads, pads), ceil_mode=ceil_mode, count=count, divisor=divisor)


def _read_lucid(kind: _Kind, values: Values, context: Context) -> Pool:  # noqa: ARG001
    kind.check_keys(values)
    defaults = {"dilation": 1, "ceil_mode": False, "return_indices": False, "count_include_pad": True}
    for key, default in {**defaults, "divisor_override": None}.items():
        if values.get(key, default) != default:
            values.fail(key, describe(values.get(key)), f"{describe(default)}: {_UNPASSED}")
    window = kind.window(values.without("dilation"))
    pads = read_sizes(values, "padding", kind.rank)
    _check_half(values, pads, window)
    return kind.make(window, (pads, pads), ceil_mode=False)


def _read_megengine(kind: _Kind, values: Values, context: Context) -> Pool:  # noqa: ARG001
    kind.check_keys(values)
    window = kind.window(values)
    pads = read_sizes(values, "padding", kind.rank)
    for pad, kernel in zip(pads, window.kernel, strict=True):
        if pad >= kernel:
            values.fail("padding", str(pad), f"less than kernel_size {kernel}")
    mode = values.choice("mode", _MODES, _MODES[0])
    return kind.make(window, (pads, pads), ceil_mode=False, count=mode == "average")


def _read_onnx(kind: _Kind, values: Values, context: Context) -> Pool:
    kind.check_keys(values)
    window = kind.window(values, (1,) * kind.rank)
    auto = read_auto_pad(values)
    pads = read_pads(values, auto, kind.rank)
    for low, high, reach in zip(*pads, window.reach, strict=True):
        if max(low, high) > reach:
            key = "pads" if "pads" in values else "padding"
            values.fail(key, str(max(low, high)), f"less than the window of {reach + 1} voxels")
    if auto.startswith("SAME"):
        total = total_forward(window, spatial_lengths(context, kind.rank))
        pads = split_padding(total, at_end=auto == "SAME_UPPER")
    op = kind.make(
        window, pads, ceil_mode=_switch(values, "ceil_mode"), count=_switch(values, "count_include_pad")
    )  # fmt: skip
    return replace(op, padding_from=("auto_pad", auto)) if auto.startswith("SAME") else op


def _switch(values: Values, key: str) -> bool:
    """Return an ONNX attribute that is 0 or 1, 0 if it is left out; false and true are as good."""
    value = values.get(key, 0)
    if value not in (0, 1):
        values.fail(key, describe(value), "0 or 1")
    return bool(value)


def _common(rank: str, stride: str, default: object, padding: str) -> Parameters:
    kind = INTS if default else _NULLABLE
    return {
        "kernel_size": described(INTS, f"int{rank}, ≥ 1"),
        "stride": described(kind, f"int{rank}, ≥ 1{stride}", default),
        "padding": described(INTS, f"int{rank}, ≥ 0; {padding}", 0),
    }


_ONE = ", n, or a list of one"
_KERNEL = "; as `kernel_size` if left out or null"
_HALF = "at most half of `kernel_size`"
_INDICES = {"return_indices": described({"const": False}, "false: indices are not computed", False)}
_CEIL = {"ceil_mode": described(_FLAG, "true: a last window may reach beyond the padding", False)}
_TORCH_MAX: Parameters = {
    **_common(_ONE, _KERNEL, None, _HALF),
    "dilation": described(INTS, f"int{_ONE}, ≥ 1", 1),
    **_INDICES,
    **_CEIL,
}
_TORCH_MEAN: Parameters = {
    **_common(_ONE, _KERNEL, None, _HALF),
    **_CEIL,
    "count_include_pad": described(_FLAG, "whether the divisor counts padding", True),
    "divisor_override": described({"type": ["integer", "null"]}, "whole number, not 0; or null: the count"),
}
_LUCID_MAX: Parameters = {
    **_common(", n", _KERNEL, None, _HALF),
    "dilation": described({"const": 1}, f"1: {_UNPASSED}", 1),
    **_INDICES,
    "ceil_mode": described({"const": False}, f"false: {_UNPASSED}", False),
}
_LUCID_MEAN: Parameters = {
    **_common(", n", _KERNEL, None, _HALF),
    "ceil_mode": described({"const": False}, f"false: {_UNPASSED}", False),
    "count_include_pad": described({"const": True}, f"true: {_UNPASSED}", True),
}
_LUCID_DIVISOR: Parameters = {"divisor_override": described({"type": "null"}, f"null: {_UNPASSED}")}
_MODES = ("average_count_exclude_padding", "average")
_MEGENGINE_MAX = _common(", n", _KERNEL, None, "less than `kernel_size`")
_MEGENGINE_MEAN: Parameters = {
    **_MEGENGINE_MAX,
    "mode": described({"enum": list(_MODES)}, f"`{_MODES[0]}`, `{_MODES[1]}`", _MODES[0]),
}
_ONNX_MAX: Parameters = {
    **_common(", n", "", 1, "less than the window; not beside `auto_pad`, `pads`"),
    "dilation": described(INTS, "int, n, ≥ 1", 1),
    "auto_pad": described({"enum": list(AUTO_PADS)}, "`NOTSET`, `VALID`, `SAME_UPPER`, `SAME_LOWER`", "NOTSET"),
    "pads": described({"type": "array", "items": {**INT, "minimum": 0}}, "2n, lows then highs, less than the window"),
    "ceil_mode": described(_SWITCH, "1: a last window may reach beyond the padding", 0),
}
_ONNX_MEAN: Parameters = {
    **_ONNX_MAX,
    "count_include_pad": described(_SWITCH, "1: the divisor counts padding", 0),
}
_NO_MEGENGINE = {
    **{key: "MegEngine does not have it" for key in ("dilation", "return_indices", "ceil_mode")},
    **{key: "MegEngine says mode" for key in ("count_include_pad", "divisor_override")},
    **{key: "it is ONNX'" for key in ("auto_pad", "pads")},
}
_NO_ONNX = {
    "mode": "it is MegEngine's",
    "return_indices": "indices are not computed",
    "storage_order": "it orders indices, which are not computed",
    "divisor_override": "ONNX does not have it",
}
_MAX_ONLY = {"count_include_pad": "it is of means alone", "divisor_override": "it is of means alone"}
_MEAN_ONLY = {"dilation": "it is of MaxPool alone", "return_indices": "it is of MaxPool alone"}


def _less(reasons: Mapping[str, str], parameters: Parameters) -> dict[str, str]:
    return {key: reason for key, reason in reasons.items() if key not in parameters}


def _both(
    rank: int,
    parameters: tuple[Parameters, Parameters],
    refused: Mapping[str, str],
    read: Callable[[_Kind, Values, Context], Pool],
    *,
    broadcast_one: bool = False,
) -> dict[str, OpReader]:
    """Return the readers of the largest value and of the mean over `rank` axes."""
    out = {}
    for mean, (name, own) in enumerate(zip(("MaxPool", "AvgPool"), parameters, strict=True)):
        reasons = {**(_MEAN_ONLY if mean else _MAX_ONLY), **refused}
        kind = _Kind(f"{name}{rank}d", rank, bool(mean), own, _less(reasons, own), broadcast_one)
        out[kind.name] = kind.reader(read)
    return out


READERS: dict[str, dict[str, OpReader]] = {
    "torch": {
        **_both(3, (_TORCH_MAX, _TORCH_MEAN), _NOT_ONNX, _read_torch, broadcast_one=True),
        **_both(2, (_TORCH_MAX, _TORCH_MEAN), _NOT_ONNX, _read_torch, broadcast_one=True),
    },
    "lucid": {
        **_both(3, (_LUCID_MAX, {**_LUCID_MEAN, **_LUCID_DIVISOR}), _NOT_ONNX, _read_lucid),
        **_both(
            2, (_LUCID_MAX, _LUCID_MEAN), {**_NOT_ONNX, "divisor_override": "Lucid has it in 3-D alone"}, _read_lucid
        ),
    },
    "megengine": _both(
        2, (_MEGENGINE_MAX, _MEGENGINE_MEAN), {**_NO_MEGENGINE, "mode": "it is of means alone"}, _read_megengine
    ),
    "onnx": {
        **_both(3, (_ONNX_MAX, _ONNX_MEAN), _NO_ONNX, _read_onnx),
        **_both(2, (_ONNX_MAX, _ONNX_MEAN), _NO_ONNX, _read_onnx),
    },
}
"""Dialect to its pooling operators."""

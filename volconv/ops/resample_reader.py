"""How the dialects write resampling. Sizes and factors are one number or one an axis; exactly one of the two is given.

- torch (2.13): ``mode`` is ``nearest``, ``nearest-exact``, ``trilinear``, or ``bilinear``, which works slice by slice
  over D. A size is ``floor(voxels · scale_factor)``; places follow from ``scale_factor`` itself, and from the sizes
  with ``size``, ``recompute_scale_factor: true`` or ``align_corners: true``. The nearest voxel is found in float32 as
  for float32 volumes on processors with fused multiply-add, whatever the type. Where the share of one of two voxels is
  0, the other stands alone; torch would multiply. `Interpolate` is ``torch.nn.functional.interpolate``.
- Lucid 3.8 works its scales out of the sizes, and takes ``nearest-exact`` for ``nearest``.
- ONNX: `Upsample` (opset 9: places from the origin) and `Resize` (opset 19) with ``scale_factor`` for its scales, which
  are float32, and ``size`` for its sizes. Two numbers stand for H and W. ``mode: cubic``, ``antialias``, other
  ``keep_aspect_ratio_policy`` than stretch and further ``coordinate_transformation_mode`` are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import floor, isfinite
from typing import Any

import numpy as np

from ..values import Values, describe
from .base import AXIS_NAMES
from .conv_reader import described
from .reader import INT, NUMBER, Context, OpReader
from .resample import Line, Resample, Rule, corner_to_corner, from_origin, half_pixel, unchanged

Parameters = dict[str, Mapping[str, Any]]

_LINEAR = ("trilinear", "bilinear")
_SIZE = {"oneOf": [INT, {"type": "array", "items": INT}, {"type": "null"}]}
_FACTOR = {"oneOf": [NUMBER, {"type": "array", "items": NUMBER}, {"type": "null"}]}
_FLAG = {"type": ["boolean", "null"]}
_LARGEST = 2**40


@dataclass(frozen=True)
class _Sizes:
    """The last axes of a volume: their lengths, and what the outputs' follow from.

    Attributes
    ----------
    lengths, counts : tuple of int
        Of input and output.
    factors : tuple of float or None
        As written; None where sizes were.
    """

    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    factors: tuple[float, ...] | None


def _read_sizes(values: Values, context: Context, ranks: tuple[int, ...], *, single: bool = False) -> _Sizes:
    """Return sizes along the last axes: as many as a list has numbers, which is one of `ranks`, else the first of them.

    With `single`, factors are those that float32 holds.
    """
    given = [key for key in ("size", "scale_factor") if values.get(key, None) is not None]
    if len(given) != 1:
        values.fail(
            given[0] if given else None, " and ".join(given) or "neither size nor scale_factor", "one of the two"
        )
    if context.shape is None:
        values.fail(given[0], "no input", "one of known size")
    raw = values.get(given[0])
    rank = len(raw) if isinstance(raw, list | tuple) else ranks[0]
    if rank not in ranks:
        values.fail(given[0], f"a list of {rank}", f"one number or a list of {' or '.join(map(str, ranks))}")
    lengths = context.shape[3 - rank :]
    if given[0] == "size":
        return _Sizes(lengths, values.integers("size", rank, minimum=1), None)
    numbers = values.numbers("scale_factor")
    factors = numbers if isinstance(numbers, tuple) else (numbers,) * rank
    if single:
        factors = tuple(float(np.float32(factor)) for factor in factors)
    counts = []
    for axis, (length, factor) in enumerate(zip(lengths, factors, strict=True), 3 - rank):
        count = floor(length * factor) if isfinite(length * factor) else _LARGEST + 1
        if factor <= 0 or not 1 <= count <= _LARGEST:
            found = f"{factor:g}, for which {length} voxels along {AXIS_NAMES[axis]} become {max(count, 0):g}"
            values.fail("scale_factor", found, "a positive number that leaves one voxel at least and fits a volume")
        counts.append(count)
    return _Sizes(lengths, tuple(counts), factors)


def _make(values: Values, context: Context, sizes: _Sizes, rule: Rule, line: Callable[[int], Line]) -> Resample:
    """Return the operator whose last axes are `line` of each number from 0 on; the axes before stay as they are."""
    assert context.shape is not None
    lines = [unchanged(length) for length in context.shape[: 3 - len(sizes.lengths)]]
    lines += [line(n) for n in range(len(sizes.lengths))]
    shown = tuple((key, _plain(value)) for key, value in values.items.items() if value is not None)
    return Resample((lines[0], lines[1], lines[2]), rule, shown)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _refuse(values: Values, parameters: Iterable[str], refused: Mapping[str, str]) -> None:
    values.refuse_keys(refused)
    values.refuse_unknown(parameters)


def _torch_lines(sizes: _Sizes, mode: str, align: bool, follows_sizes: bool) -> tuple[Rule, Callable[[int], Line]]:
    """Return rule and axes of torch's ``interpolate``."""
    factors = None if follows_sizes else sizes.factors

    def line(n: int) -> Line:
        length, count = sizes.lengths[n], sizes.counts[n]
        factor = None if factors is None else factors[n]
        if align:
            return corner_to_corner(length, count)
        if mode in _LINEAR:
            return unchanged(length) if length == count else half_pixel(length, count, factor)
        return from_origin(length, count, factor) if mode == "nearest" else half_pixel(length, count, factor)

    rules: dict[str, Rule] = {"nearest": "single_floor", "nearest-exact": "single_round"}
    return rules.get(mode, "linear"), line


@dataclass(frozen=True)
class _Torch:
    """One of torch's classes, or Lucid's of that name.

    Attributes
    ----------
    fixed : str
        The ``mode`` where the class has but one, in 2-D; else empty.
    lucid : bool
    """

    name: str
    parameters: Parameters
    refused: Mapping[str, str]
    fixed: str = ""
    lucid: bool = False

    def read(self, values: Values, context: Context) -> Resample:
        """Return the canonical operator."""
        _refuse(values, self.parameters, self.refused)
        mode = self.fixed or values.choice("mode", ("nearest", "nearest-exact", *_LINEAR), "nearest")
        flat = bool(self.fixed) or mode == "bilinear"
        align = self._read_align(values, mode)
        recompute = self._read_flag(values, "recompute_scale_factor")
        if recompute and values.get("size", None) is not None:
            values.fail("recompute_scale_factor", "true beside size", "scale_factor, from which to recompute")
        if self._read_flag(values, "antialias"):
            values.fail("antialias", "true", "false: there is no antialiasing")
        sizes = _read_sizes(values, context, (2,) if flat else (3,))
        if self.lucid and mode == "nearest-exact":
            mode = "nearest"
        rule, line = _torch_lines(sizes, mode, align, recompute or self.lucid)
        return _make(values, context, sizes, rule, line)

    def _read_align(self, values: Values, mode: str) -> bool:
        if self.fixed:
            return self.fixed == "bilinear"
        if not self.lucid and mode not in _LINEAR and values.get("align_corners", None) is not None:
            values.fail(
                "align_corners", describe(values.get("align_corners")), f"mode {' or '.join(_LINEAR)} beside it"
            )
        return self._read_flag(values, "align_corners") and mode in _LINEAR

    @staticmethod
    def _read_flag(values: Values, key: str) -> bool:
        return values.get(key, None) is not None and values.boolean(key)

    def reader(self) -> OpReader:
        """Return the class as the registry takes it."""
        return OpReader(self.name, self.parameters, self.read, rank=2 if self.fixed else 3, refused=self.refused)


_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_ROUNDED: dict[str, Rule] = {
    "round_prefer_floor": "round_down", "round_prefer_ceil": "round_up", "floor": "floor", "ceil": "ceil",
}  # fmt: skip


def _read_resize(values: Values, context: Context) -> Resample:
    _refuse(values, _RESIZE, _NO_RESIZE)
    for key in ("antialias", "exclude_outside"):
        if values.get(key, 0) not in (0, False):
            values.fail(key, describe(values.get(key)), "0: no other is computed")
    values.choice("keep_aspect_ratio_policy", ("stretch",), "stretch")
    mode = values.choice("mode", ("nearest", "linear"), "nearest")
    places = values.choice("coordinate_transformation_mode", _PLACES, "half_pixel")
    rounded = values.choice("nearest_mode", tuple(_ROUNDED), "round_prefer_floor")
    return _make_onnx(values, context, places, "linear" if mode == "linear" else _ROUNDED[rounded])


def _read_upsample(values: Values, context: Context) -> Resample:
    _refuse(values, _UPSAMPLE, _NO_UPSAMPLE)
    mode = values.choice("mode", ("nearest", "linear"), "nearest")
    return _make_onnx(values, context, "asymmetric", "linear" if mode == "linear" else "floor")


def _make_onnx(values: Values, context: Context, places: str, rule: Rule) -> Resample:
    sizes = _read_sizes(values, context, (3, 2), single=True)

    def line(n: int) -> Line:
        length, count = sizes.lengths[n], sizes.counts[n]
        factor = None if sizes.factors is None else sizes.factors[n]
        if places == "align_corners":
            return corner_to_corner(length, count)
        if places == "asymmetric":
            return from_origin(length, count, factor)
        if places == "pytorch_half_pixel" and count == 1:
            return Line(length, 1, 0, 0)
        return half_pixel(length, count, factor)

    return _make(values, context, sizes, rule, line)


_COMMON: Parameters = {
    "size": described(_SIZE, "int or n, ≥ 1; or `scale_factor`"),
    "scale_factor": described(_FACTOR, "number or n, > 0; or `size`"),
}
_ALIGN: Parameters = {
    "align_corners": described(_FLAG, "true: first and last voxels stay in place; with linear modes", False)
}
_TORCH: Parameters = {
    **_COMMON,
    "mode": described(
        {"enum": ["nearest", "nearest-exact", *_LINEAR]},
        "`nearest`, `nearest-exact`, `bilinear`, `trilinear`",
        "nearest",
    ),
    **_ALIGN,
    "recompute_scale_factor": described(_FLAG, "true: places follow from the sizes", False),
}
_INTERPOLATE: Parameters = {**_TORCH, "antialias": described({"const": False}, "false", False)}
_LUCID: Parameters = {key: value for key, value in _TORCH.items() if key != "recompute_scale_factor"}
_UPSAMPLE: Parameters = {
    "scale_factor": described(_FACTOR, "number, n, or 2 for H and W, > 0"),
    "mode": described({"enum": ["nearest", "linear"]}, "`nearest`, `linear`", "nearest"),
}
_RESIZE: Parameters = {
    "size": described(_SIZE, "int, n, or 2 for H and W, ≥ 1; or `scale_factor`"),
    "scale_factor": described(_FACTOR, "number, n, or 2 for H and W, > 0; or `size`"),
    "mode": described({"enum": ["nearest", "linear"]}, "`nearest`, `linear`", "nearest"),
    "coordinate_transformation_mode": described(
        {"enum": list(_PLACES)}, ", ".join(f"`{name}`" for name in _PLACES), _PLACES[0]
    ),
    "nearest_mode": described(
        {"enum": list(_ROUNDED)}, ", ".join(f"`{name}`" for name in _ROUNDED), "round_prefer_floor"
    ),
    "keep_aspect_ratio_policy": described({"enum": ["stretch"]}, "`stretch`", "stretch"),
    "antialias": described({"enum": [0, False]}, "0", 0),
    "exclude_outside": described({"enum": [0, False]}, "0", 0),
}
_ONNX_ONLY = {
    "coordinate_transformation_mode": "it is ONNX'",
    "nearest_mode": "it is ONNX'",
    "keep_aspect_ratio_policy": "it is ONNX'",
    "exclude_outside": "it is ONNX'",
}
_NO_TORCH = {**_ONNX_ONLY, "antialias": "it is Interpolate's"}
_TORCH_ONLY = {
    "align_corners": "ONNX says coordinate_transformation_mode",
    "recompute_scale_factor": "it is torch's",
}
_NO_RESIZE = {
    **_TORCH_ONLY,
    "cubic_coeff_a": "cubic is not computed",
    "extrapolation_value": "tf_crop_and_resize is not computed",
    "axes": "give 3 numbers, or 2 for H and W",
    "roi": "tf_crop_and_resize is not computed",
}
_NO_UPSAMPLE = {**_TORCH_ONLY, **dict.fromkeys((*_ONNX_ONLY, "size", "antialias"), "ONNX' Upsample has scales alone")}


def _fixed(what: str) -> dict[str, str]:
    reasons = dict.fromkeys(("mode", "align_corners", "recompute_scale_factor"), what)
    return {**_NO_TORCH, **reasons}


def _torch_readers(*, lucid: bool) -> dict[str, OpReader]:
    refused = {**_ONNX_ONLY, **({"recompute_scale_factor": "Lucid always recomputes it"} if lucid else {})}
    kinds = [
        _Torch("Upsample", _LUCID if lucid else _TORCH, {**_NO_TORCH, **refused}, lucid=lucid),
        _Torch("UpsamplingNearest2d", _COMMON, _fixed("it is nearest"), "nearest", lucid),
        _Torch("UpsamplingBilinear2d", _COMMON, _fixed("it is bilinear, with aligned corners"), "bilinear", lucid),
    ]
    if not lucid:
        kinds.append(_Torch("Interpolate", _INTERPOLATE, refused))
    return {kind.name: kind.reader() for kind in kinds}


READERS: dict[str, dict[str, OpReader]] = {
    "torch": _torch_readers(lucid=False),
    "lucid": _torch_readers(lucid=True),
    "onnx": {
        "Upsample": OpReader("Upsample", _UPSAMPLE, _read_upsample, refused=_NO_UPSAMPLE),
        "Resize": OpReader("Resize", _RESIZE, _read_resize, refused=_NO_RESIZE),
    },
}
"""Dialect to its resampling operators."""

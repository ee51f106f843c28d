"""Channels spread over blocks of voxels, in every dialect.

`PixelShuffle3d` is an operator of our own that means the same everywhere: ``upscale_factor`` is one whole number or
three, and channel ``((c·rd + i)·rh + j)·rw + k`` becomes channel c at place (i, j, k) of each block. `PixelShuffle` of
torch, Lucid and MegEngine is the same over H and W. ONNX' `DepthToSpace` (opset 13) has a ``blocksize`` for H and W and
a ``mode``: ``CRD`` for that order, ``DCR`` for channel ``(i·r + j)·C + c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..values import Values
from .conv_reader import described, triple
from .pixel_shuffle3d import PixelShuffle3d
from .reader import INT, INTS, Context, OpReader

_THREE: Mapping[str, Mapping[str, Any]] = {"upscale_factor": described(INTS, "int or 3, ≥ 1")}
_TWO: Mapping[str, Mapping[str, Any]] = {"upscale_factor": described({**INT, "minimum": 1}, "int, ≥ 1")}
_ONNX: Mapping[str, Mapping[str, Any]] = {
    "blocksize": described({**INT, "minimum": 1}, "int, ≥ 1"),
    "mode": described({"enum": ["DCR", "CRD"]}, "`DCR`, `CRD`", "DCR"),
}


def _read_three(values: Values, context: Context) -> PixelShuffle3d:  # noqa: ARG001
    values.refuse_unknown(_THREE)
    return PixelShuffle3d(triple(values.integers("upscale_factor", 3, minimum=1), 1))


def _read_two(values: Values, context: Context) -> PixelShuffle3d:  # noqa: ARG001
    values.refuse_unknown(_TWO)
    factor = values.integer("upscale_factor", minimum=1)
    return PixelShuffle3d((1, factor, factor))


def _read_onnx(values: Values, context: Context) -> PixelShuffle3d:  # noqa: ARG001
    values.refuse_unknown(_ONNX)
    factor = values.integer("blocksize", minimum=1)
    return PixelShuffle3d((1, factor, factor), values.choice("mode", ("DCR", "CRD"), "DCR") == "DCR")


_OWN = {"PixelShuffle3d": OpReader("PixelShuffle3d", _THREE, _read_three)}
_SHARED = {**_OWN, "PixelShuffle": OpReader("PixelShuffle", _TWO, _read_two, rank=2)}
READERS: dict[str, dict[str, OpReader]] = {
    "torch": _SHARED,
    "lucid": _SHARED,
    "megengine": _SHARED,
    "onnx": {**_OWN, "DepthToSpace": OpReader("DepthToSpace", _ONNX, _read_onnx, rank=2)},
}
"""Dialect to its operators that shuffle channels."""

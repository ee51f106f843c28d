"""Readers of the operators on shapes: Concat, Slice, Crop, Flip and the paddings, with each framework's names.

Axes are counted as in the framework's arrays (N, C, D, H, W): 1 is the channels, 2 to 4 are D, H, W, and -1 is W.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..values import Values, describe
from .base import Op
from .concat import Concat
from .conv_reader import described
from .reader import INT, INTS, Context, OpReader
from .slice import AXES, Four, Slice

_PLACE = {"type": ["integer", "null"]}
_PLACES = {"oneOf": [_PLACE, {"type": "array", "items": _PLACE, "minItems": 1}]}
_DIMS = {"oneOf": [INT, {"type": "array", "items": INT, "minItems": 1}]}
_FARTHEST = 2**40
_WHOLE = slice(None, None, None)
AXIS_RULE = "1 (channels), 2, 3, 4 (D, H, W), or -4 to -1"


def read_axis(values: Values, key: str, dim: Any) -> int:
    """Return 0 for the channels, 1 to 3 for D, H, W, from an axis counted over (N, C, D, H, W)."""
    if isinstance(dim, bool) or not isinstance(dim, int) or not -4 <= dim <= 4 or dim == 0:
        values.fail(key, describe(dim), AXIS_RULE)
    return dim - 1 if dim > 0 else dim + 4


def read_axes(values: Values, key: str) -> tuple[int, ...]:
    """Return the axes that `key` lists, each once."""
    axes = tuple(read_axis(values, key, dim) for dim in as_list(values, key))
    if len(set(axes)) != len(axes):
        values.fail(key, describe(values.get(key)), "each axis once")
    return axes


def as_list(values: Values, key: str, length: int | None = None, default: Any = None) -> list[Any]:
    """Return the value of `key` as a list of `length` entries; one that stands alone is a list of one."""
    raw = values.get(key, default) if key in values or default is not None else values.get(key)
    found = list(raw) if isinstance(raw, list | tuple) else [raw]
    if not found or (length is not None and len(found) != length):
        values.fail(key, f"a list of {len(found)}", f"a list of {'at least 1' if length is None else length}")
    return found


def _concat_reader(key: str) -> OpReader:
    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown((key,))
        if key in values and read_axis(values, key, values.get(key)) != 0:
            values.fail(key, describe(values.get(key)), "1: stages are joined over channels")
        return Concat()

    return OpReader("Concat", {key: described({"enum": [1, -4]}, "the channels", 1)}, read, inputs=(2, None))


def _slice_reader(axes: str, start: str, end: str, step: str, *, backwards: bool) -> OpReader:
    def read(values: Values, context: Context) -> Op:
        values.refuse_unknown((axes, start, end, step))
        named = read_axes(values, axes)
        taken = [_WHOLE] * 4
        columns = [_read_places(values, key, len(named)) for key in (start, end, step)]
        for axis, a, b, s in zip(named, *columns, strict=True):
            if s == 0 or (s is not None and s < 0 and not backwards):
                values.fail(step, describe(s), "a whole number other than 0" if backwards else "at least 1")
            taken[axis] = slice(a, b, s)
        return make_slice(values, end, taken, context)

    parameters = {
        axes: described(_DIMS, f"one or a list of: {AXIS_RULE}"),
        start: described(_PLACES, "first place; negative ones count from the end", 0),
        end: described(_PLACES, "place after the last; all that there are if left out or beyond"),
        step: described(_DIMS, "from one place to the next" + ("; negative: backwards" if backwards else ""), 1),
    }
    return OpReader("Slice", parameters, read)


def _read_places(values: Values, key: str, length: int) -> list[int | None]:
    if key not in values:
        return [None] * length
    found = as_list(values, key, length)
    for place in found:
        if place is not None and (isinstance(place, bool) or not isinstance(place, int)):
            values.fail(key, describe(place), "whole numbers")
    return [None if place is None else max(-_FARTHEST, min(place, _FARTHEST)) for place in found]


def make_slice(values: Values, key: str, taken: list[slice], context: Context) -> Slice:
    """Return the operator that takes `taken` along channels, D, H, W of the stage's input."""
    shape = context.shape or (1, 1, 1)
    starts, sizes, steps = [0] * 4, [0] * 4, [1] * 4
    for axis, (part, length) in enumerate(zip(taken, (context.in_channels, *shape), strict=True)):
        places = range(*part.indices(length))
        if len(places) == 0:
            values.fail(key, f"no place along {AXES[axis]} of size {length}", "at least one")
        starts[axis], sizes[axis], steps[axis] = places.start, len(places), places.step
    return Slice(_four(starts), _four(sizes), _four(steps))


def _four(numbers: list[int]) -> Four:
    c, d, h, w = numbers
    return (c, d, h, w)


def _read_flip(values: Values, context: Context) -> Op:
    values.refuse_unknown(("dims",))
    taken = [_WHOLE] * 4
    for axis in read_axes(values, "dims"):
        taken[axis] = slice(None, None, -1)
    return make_slice(values, "dims", taken, context)


def _read_crop(values: Values, context: Context) -> Op:
    values.refuse_unknown(("low", "high", "size"))
    lengths = context.shape or (1, 1, 1)
    if "size" in values:
        for key in ("low", "high"):
            if key in values:
                values.fail(key, f"{key} beside size", "one of them")
        size = values.integers("size", 3, minimum=1)
        for axis, (n, length) in enumerate(zip(size, lengths, strict=True), 1):
            if n > length:
                values.fail("size", f"{n} along {AXES[axis]} of size {length}", f"at most {length}")
        low = tuple((length - n) // 2 for n, length in zip(size, lengths, strict=True))
        return make_slice(values, "size", [_WHOLE, *map(slice, low, map(sum, zip(low, size, strict=True)))], context)
    if "low" not in values and "high" not in values:
        values.fail(None, "neither low, high nor size", "at least one of them")
    ends = [values.integers(key, 3, (0, 0, 0), 0) for key in ("low", "high")]
    taken = [slice(a, max(length - b, a)) for a, b, length in zip(*ends, lengths, strict=True)]
    return make_slice(values, "low" if "low" in values else "high", [_WHOLE, *taken], context)


_COUNT = "voxels along D, H, W, at least 0"
SHAPE_READERS: dict[str, OpReader] = {
    "Crop": OpReader(
        "Crop",
        {
            "low": described(INTS, f"taken off before the first: {_COUNT}", 0),
            "high": described(INTS, f"taken off behind the last: {_COUNT}", 0),
            "size": described(INTS, "in place of both: what stays in the middle; an odd rest goes off the high end"),
        },
        _read_crop,
    ),
    "Flip": OpReader("Flip", {"dims": described(_DIMS, f"one or a list of: {AXIS_RULE}")}, _read_flip),
}
_MAKERS: Mapping[str, Callable[[], Mapping[str, OpReader]]] = {
    "torch": lambda: {
        "Concat": _concat_reader("dim"),
        "Slice": _slice_reader("dim", "start", "end", "step", backwards=False),
    },
    "megengine": lambda: {
        "Concat": _concat_reader("axis"),
        "Slice": _slice_reader("axis", "start", "end", "step", backwards=True),
    },
    "onnx": lambda: {
        "Concat": _concat_reader("axis"),
        "Slice": _slice_reader("axes", "starts", "ends", "steps", backwards=True),
    },
}


def shape_readers(dialect: str) -> dict[str, OpReader]:
    """Return the readers of `dialect`, those that every dialect shares among them."""
    return {**_MAKERS.get(dialect, _MAKERS["torch"])(), **SHAPE_READERS}

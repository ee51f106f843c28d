"""The keys of ``input:`` and ``output:`` that say what happens before the stages and after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..geometry import Floats3
from ..preparation import ORDERS, IntensityStep, MinMax, Percentile, Preparation, Rescale, Window, ZScore
from ..values import Length, nearest, parse_length
from .model import MaskFile
from .paths import check_path
from .tree import Item

PREPARATION_KEYS = ("orientation", "spacing", "order", "mask", "intensity", "pad_multiple")
OUTPUT_KEYS = ("space",)
SPACES = ("input",)
MAX_MULTIPLE = 4096
AXIS_PAIRS = ("RL", "AP", "SI")
_CODES = "three letters, one each of R or L, A or P, S or I, such as RAS"


def read_preparation(keys: Mapping[str, Item], output: Item | None) -> Preparation:
    """Return what the entries of ``input:`` and the section ``output:`` ask for.

    Raises
    ------
    SpecError
        At the place of the first value that is wrong.
    """
    return Preparation(
        orientation=_read_orientation(keys["orientation"]) if "orientation" in keys else None,
        spacing_mm=_read_spacing(keys["spacing"]) if "spacing" in keys else None,
        order=keys["order"].integer(ORDERS[0], ORDERS[-1]) if "order" in keys else 1,
        intensity=_read_steps(keys["intensity"]) if "intensity" in keys else (),
        pad_multiple=keys["pad_multiple"].integer(1, MAX_MULTIPLE) if "pad_multiple" in keys else 1,
        returns=_read_space(output),
    )


def read_mask(item: Item | None) -> MaskFile | None:
    """Return the mask's path, relative to the spec's folder."""
    if item is None:
        return None
    return MaskFile(check_path(item.text("a path"), item.place), item.place)


def _read_space(section: Item | None) -> bool:
    if section is None:
        return False
    keys = section.entries("a mapping such as {space: input}")
    section.refuse_unknown(OUTPUT_KEYS)
    return "space" in keys and keys["space"].choice(SPACES) == "input"


def _read_orientation(item: Item) -> str:
    codes = item.text(_CODES)
    letters = set(codes)
    if len(codes) != 3 or not all(len(letters & set(pair)) == 1 for pair in AXIS_PAIRS):
        item.fail(_CODES)
    return codes


def _read_spacing(item: Item) -> Floats3:
    expected = "three lengths D, H, W in mm, such as [1, 1, 1]"
    parts = item.elements(expected)
    if len(parts) != 3:
        item.fail(expected)
    d, h, w = (_read_length_mm(part) for part in parts)
    return (d, h, w)


def _read_length_mm(item: Item) -> float:
    length = parse_length(item.value) if isinstance(item.value, str) else item.value
    if isinstance(length, Length):
        if length.unit != "mm":
            item.fail("a length in mm")
        length = length.value
    if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length < 1e6:
        item.fail("a length in mm above 0")
    return float(length)


def _read_steps(section: Item) -> tuple[IntensityStep, ...]:
    return tuple(_read_step(item) for item in section.elements("a list of steps such as [{zscore: {above: 0}}]"))


def _read_step(item: Item) -> IntensityStep:
    expected = f"one of {', '.join(STEPS)}, such as {{minmax: [0, 1]}}"
    keys = item.entries(f"a step: {expected}")
    found = [key for key in keys if key in STEPS]
    if len(found) > 1:
        keys[found[1]].fail("one step in each entry of the list", f"{found[1]} beside {found[0]}")
    if not found:
        first = next(iter(keys), None)
        if first is None:
            item.fail(expected, "an empty step")
        keys[first].fail(f"{expected}{nearest(first, STEPS)}", f"the step {first!r:.60}")
    name = found[0]
    item.refuse_unknown((name, "eps") if name == "percentile" else (name,))
    return STEPS[name](keys[name], keys.get("eps"))


def _read_zscore(item: Item, _: Item | None) -> ZScore:
    if item.value is None:
        return ZScore()
    keys = item.entries("a mapping such as {above: 0}, or {}")
    item.refuse_unknown(("above",))
    return ZScore(_number(keys["above"]) if "above" in keys else None)


def _read_minmax(item: Item, _: Item | None) -> MinMax:
    return MinMax(*_read_range(item, "what the smallest and the largest value become, such as [0, 1]"))


def _read_percentile(item: Item, eps: Item | None) -> Percentile:
    expected = "two percentages that rise, from 0 to 100, such as [2, 98]"
    low, high = _read_range(item, expected)
    if low < 0 or high > 100:
        item.fail(expected)
    added = 0.0 if eps is None else _number(eps)
    if eps is not None and added < 0:
        eps.fail("a number of at least 0")
    return Percentile(low, high, added)


def _read_window(item: Item, _: Item | None) -> Window:
    return Window(*_read_range(item, "two limits that rise, such as [-160, 240]"))


def _read_affine(item: Item, _: Item | None) -> Rescale:
    keys = item.entries("a mapping such as {scale: 0.5, shift: 1}")
    item.refuse_unknown(("scale", "shift"))
    return Rescale(
        _number(keys["scale"]) if "scale" in keys else 1.0, _number(keys["shift"]) if "shift" in keys else 0.0
    )


def _read_range(item: Item, expected: str) -> tuple[float, float]:
    parts = item.elements(expected)
    if len(parts) != 2:
        item.fail(expected)
    low, high = (_number(part) for part in parts)
    if not low < high:
        item.fail(expected, f"{low:g} and {high:g}")
    return low, high


def _number(item: Item) -> float:
    if isinstance(item.value, bool) or not isinstance(item.value, int | float) or abs(item.value) > 3e38:
        item.fail("a number that float32 can hold")
    return float(item.value)


STEPS: dict[str, Callable[[Item, Item | None], IntensityStep]] = {
    "zscore": _read_zscore,
    "minmax": _read_minmax,
    "percentile": _read_percentile,
    "window": _read_window,
    "affine": _read_affine,
}
"""Name in the spec to the reader of what stands behind it; the second argument is a percentile's ``eps``."""


def preparation_schema() -> tuple[dict[str, object], dict[str, object]]:
    """Return the JSON Schema of the keys of ``input:`` read here, and of those of ``output:``."""
    number = _or_name({"type": "number"})
    pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    steps: dict[str, dict[str, object]] = {
        "zscore": {**_object({"above": number}), "type": ["object", "null"]},
        "minmax": pair,
        "percentile": {**pair, "items": _or_name({"type": "number", "minimum": 0, "maximum": 100})},
        "window": pair,
        "affine": _object({"scale": number, "shift": number}),
    }
    eps = {"eps": _or_name({"type": "number", "minimum": 0, "default": 0})}
    forms = [
        {**_object({name: form, **(eps if name == "percentile" else {})}), "required": [name]}
        for name, form in steps.items()
    ]
    codes = "|".join("".join(order) for order in _orders())
    keys: dict[str, object] = {
        "orientation": {"description": "axis codes of the file's i, j, k", "type": "string", "pattern": f"^({codes})$"},
        "spacing": {
            "description": "D, H, W in mm after orientation",
            **{"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": ["number", "string"]}},
        },
        "order": {"description": "spline order of resampling", "enum": list(ORDERS), "default": 1},
        "mask": {"description": "path of a volume on the scan's grid, inside where > 0", "type": "string"},
        "intensity": {"description": "steps in float32, in order", "type": "array", "items": {"anyOf": forms}},
        "pad_multiple": {
            "description": "zeros at the high ends up to a multiple of it; cropped from the result",
            **{"type": "integer", "minimum": 1, "maximum": MAX_MULTIPLE, "default": 1},
        },
    }
    space = {"description": "the grid results are brought to: the scan's own", "enum": list(SPACES)}
    return keys, {"space": space}


def _orders() -> list[tuple[str, str, str]]:
    from itertools import permutations

    return [(f"[{a}]", f"[{b}]", f"[{c}]") for a, b, c in permutations(AXIS_PAIRS)]


def _or_name(schema: dict[str, object]) -> dict[str, object]:
    """Return `schema` such that a ``$name`` may stand for the value."""
    return {"anyOf": [schema, {"$ref": "#/$defs/reference"}]}


def _object(properties: dict[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "additionalProperties": False}

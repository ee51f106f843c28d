"""What to say when a name is not in a weights file: the nearest ones, a prefix that would fit, and what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from ..errors import WeightsError, show
from .base import TensorInfo

WRAPPERS = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "state_dict.",
    "model_state_dict.",
    "network_weights.",
    "net_init.",
    "ema.",
    "params.",
)
"""What wrappers and checkpoints put before the names of a network's tensors."""

_LISTED = 12


class MissingTensorError(WeightsError, KeyError):
    """A weights file has no tensor of this name."""

    code = "weights.missing_tensor"


def explain_missing(name: str, tensors: Mapping[str, TensorInfo], prefix: str) -> str:
    """Return the message for `name`, not found behind `prefix` among all `tensors` of the file."""
    visible = {key.removeprefix(prefix): info for key, info in tensors.items() if key.startswith(prefix)}
    behind = f" behind the prefix {show(repr(prefix))}" if prefix else ""
    found = f"found no tensor {show(repr(name))}{behind}"
    fit = find_prefix(name, tensors)
    advice = "" if fit is None or fit == prefix else f"; the prefix {show(repr(fit))} would fit"
    return f"{found}{advice}{_list_nearest(name, visible)}; the file has {list_tensors(visible)}"


def explain_prefix(prefix: str, tensors: Mapping[str, TensorInfo]) -> str:
    """Return the message for a `prefix` that fits no name, or lacks its dot."""
    if any(key.startswith(prefix + ".") for key in tensors):
        return f"found names that go on with a dot behind {show(repr(prefix))}, expected the prefix {prefix + '.'!r}"
    return f"found no name with the prefix {show(repr(prefix))}; the file has {list_tensors(tensors)}"


def find_prefix(name: str, tensors: Iterable[str]) -> str | None:
    """Return the prefix that leaves `name` of some key: a known wrapper first, else the shortest; None if none does."""
    prefixes = {key.removesuffix(name) for key in tensors if key == name or key.endswith("." + name)}
    return min(prefixes, key=lambda p: (p != "", not _is_wrapper(p), len(p), p), default=None)


def _is_wrapper(prefix: str) -> bool:
    while prefix:
        wrapper = next((w for w in WRAPPERS if prefix.startswith(w)), None)
        if wrapper is None:
            return False
        prefix = prefix[len(wrapper) :]
    return True


def _list_nearest(name: str, tensors: Mapping[str, TensorInfo]) -> str:
    lower = {key.lower(): key for key in tensors}
    close = get_close_matches(name.lower(), list(lower)[:2000], n=3, cutoff=0.6)
    return f"; nearest: {', '.join(_show_tensor(lower[c], tensors[lower[c]]) for c in close)}" if close else ""


def list_tensors(tensors: Mapping[str, TensorInfo]) -> str:
    """Return the first names with their shapes, and how many more there are."""
    if not tensors:
        return "no tensors"
    shown = ", ".join(_show_tensor(key, tensors[key]) for key in list(tensors)[:_LISTED])
    more = f" and {len(tensors) - _LISTED} more" if len(tensors) > _LISTED else ""
    return f"{shown}{more}"


def _show_tensor(key: str, info: TensorInfo) -> str:
    name = show(key if len(key) <= 80 else key[:77] + "...") if key else "''"
    return f"{name} {list(info.shape)}"

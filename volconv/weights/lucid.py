"""Lucid 3's ``.lucid``: one pickle, whose tensors are persistent ids that hold shape, type and bytes."""

from __future__ import annotations

import sys
from typing import Any

from .base import WeightsFormat
from .pickle_input import PickleInput
from .pickle_names import name_tensors
from .pickle_values import Dtype, check_view, make_array
from .pickled import is_pickle, read_pickle
from .strided import ITEM_BYTES, View, ViewReader
from .weight_file import WeightFile

_ALIASES = {
    "bool_": "bool",
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    # Lucid's engine has no such numbers: it stores and reads them as float16.
    "bfloat16": "float16",
}


def is_lucid(file: WeightFile) -> bool:
    """Whether the file is a pickle that begins as Lucid's do."""
    return is_pickle(file) and b"_lucid_format" in file.head[:80]


def open_lucid(file: WeightFile) -> ViewReader:
    """Return the reader of a ``.lucid`` file; the numbers of its tensors are passed over."""
    pickle, root = read_pickle(file, _load_tensor)
    if not isinstance(root, dict) or root.get("_lucid_format") not in (1, 2) or "obj" not in root:
        pickle.fail("another dictionary", "Lucid's _lucid_format 1 or 2, and obj")
    return ViewReader(file, name_tensors(pickle, root["obj"]))


def _load_tensor(pickle: PickleInput, parts: tuple[Any, ...]) -> View:
    """Return the tensor of a persistent id; the form before the present one names NumPy's type as well."""
    if (parts[0], len(parts)) not in (("tensor_v3", 5), ("tensor", 6)):
        pickle.fail("a reference to something else", "a tensor")
    _, shape, name, _, raw = parts[:5]
    dtype = _ALIASES.get(name, name) if isinstance(name, str) else ""
    if dtype not in ITEM_BYTES:
        pickle.fail("a tensor of an unknown type", "one of Lucid's")
    order = "<" if sys.byteorder == "big" else "="
    return check_view(pickle, make_array(pickle, shape, Dtype(dtype, order), False, raw))


LUCID = WeightsFormat("Lucid", is_lucid, open_lucid)

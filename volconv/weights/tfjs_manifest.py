"""The weights manifest of TensorFlow.js: groups of tensors, each in files whose bytes are joined.

It stands in ``model.json`` as ``weightsManifest``, or by itself in ``weights_manifest.json`` as once it was written.
Format: ``tfjs-converter/python/tensorflowjs/write_weights.py`` and ``tfjs-core/src/io`` of
https://github.com/tensorflow/tfjs (4.22).
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..values import describe
from .json_input import MAX_JSON, read_members
from .raw_manifest import MAX_FILES, MAX_NAME, Affine, Entry, Group, Manifest, check_names, fail, read_shape
from .weight_file import WeightFile

_MEMBER = "weightsManifest"
_DTYPES = ("float32", "int32", "bool", "uint8", "uint16", "float16", "complex64")
_QUANTISED = {"uint8": ("float32", "int32"), "uint16": ("float32", "int32"), "float16": ("float32",)}
"""Types that quantised numbers are stored in, to the types they stand for."""

_BLOCK = 1 << 20


def has_manifest(file: WeightFile) -> bool:
    """Whether the file is JSON and speaks of a manifest."""
    if re.match(rb'\s*\[\s*\{\s*"(?:paths|weights)"\s*:', file.head):
        return True
    if not re.match(rb"\s*\{", file.head) or file.size > MAX_JSON:
        return False
    sign = f'"{_MEMBER}"'.encode("ascii")
    starts = range(0, file.size, _BLOCK)
    return any(sign in file.read_at(at, min(_BLOCK + len(sign), file.size - at)) for at in starts)


def read_manifest(file: WeightFile) -> Manifest:
    """Return the groups of the manifest in `file`.

    Raises
    ------
    WeightsError
        If it is damaged, or a tensor has a type whose size or numbers are not known.
    """
    members = read_members(file, (_MEMBER,))
    groups = members.get(_MEMBER, members.get(""))
    if not isinstance(groups, list):
        fail(file, None, "no list of groups", f"one as {_MEMBER}")
    manifest = tuple(_read_group(file, group) for group in groups)
    check_names(file, manifest)
    if not any(group.entries for group in manifest):
        fail(file, None, "no tensors", "a model with weights")
    count = sum(len(group.paths) for group in manifest)
    if count > MAX_FILES:
        fail(file, None, f"{count} files", f"at most {MAX_FILES}")
    return manifest


def _read_group(file: WeightFile, group: Any) -> Group:
    paths, weights = (group.get("paths"), group.get("weights")) if isinstance(group, dict) else (None, None)
    if not isinstance(paths, list) or not isinstance(weights, list) or not all(isinstance(p, str) for p in paths):
        fail(file, None, f"a group {describe(group)}", "an object with the lists paths and weights")
    return Group(tuple(paths), tuple(_read_entry(file, weight) for weight in weights))


def _read_entry(file: WeightFile, weight: Any) -> Entry:
    if not isinstance(weight, dict) or not {"name", "shape", "dtype"} <= set(weight):
        fail(file, None, f"a weight {describe(weight)}", "an object with name, shape and dtype")
    name, dtype = weight["name"], weight["dtype"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        fail(file, None, f"the name {describe(name)}", f"text of at most {MAX_NAME} letters")
    shape = read_shape(file, name, weight["shape"])
    # As in HDF5 files of Keras: slashes are dots.
    key = name.replace("/", ".")
    quantised = weight.get("quantization")
    if quantised is not None:
        return _read_quantised(file, key, shape, dtype, quantised)
    if dtype not in _DTYPES:
        note = ": only its content tells how long text is" if dtype == "string" else ""
        fail(file, name, f"dtype {describe(dtype)}", f"one of {', '.join(_DTYPES)}{note}")
    return Entry(key, shape, dtype, dtype)


def _read_quantised(file: WeightFile, key: str, shape: tuple[int, ...], dtype: Any, said: Any) -> Entry:
    stored = said.get("dtype") if isinstance(said, dict) else None
    if not isinstance(stored, str) or stored not in _QUANTISED or dtype not in _QUANTISED[stored]:
        kinds = "; ".join(f"{kind} for {' or '.join(of)}" for kind, of in _QUANTISED.items())
        fail(file, key, f"{describe(dtype)} quantised as {describe(stored)}", kinds)
    if stored == "float16":
        return Entry(key, shape, dtype, stored)
    scale, minimum = said.get("scale"), said.get("min")
    if not _is_number(scale) or not _is_number(minimum):
        fail(file, key, f"scale {describe(scale)} and min {describe(minimum)}", "two finite numbers")
    affine = Affine(float(scale), float(minimum))
    if dtype == "int32":
        ends = (affine.minimum, affine.minimum + affine.scale * (255 if stored == "uint8" else 65535))
        limits = np.iinfo(np.int32)
        if not all(limits.min <= end < limits.max for end in ends):
            fail(file, key, f"codes that stand for {min(ends):g} to {max(ends):g}", "numbers of int32")
    return Entry(key, shape, dtype, stored, affine)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)

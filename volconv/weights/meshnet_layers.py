"""The list of layers by which MeshNets are described beside a file of their raw numbers.

``{"layers": [{"in_channels": 1, "out_channels": 5, "kernel_size": 3, ...}, ...], "bias": true}``, float32, each layer's
kernel, then its bias. Used by https://github.com/neuroneural/brainchop-models. The same list stands beside numbers in
PyTorch's order of axes and in that of TensorFlow.js, and does not say in which: so every tensor has one axis here, and
no operator takes it for a kernel by mistake.
"""

from __future__ import annotations

import re
from typing import Any

from ..values import describe
from .json_input import read_members
from .raw_manifest import Entry, Group, Manifest, check_names, fail, read_shape
from .weight_file import WeightFile

_KEYS = ("in_channels", "out_channels", "kernel_size")
_RANK = 3


def has_layers(file: WeightFile) -> bool:
    """Whether the file begins as JSON with a list of layers."""
    head = file.head
    is_listed = re.search(rb'"layers"\s*:\s*\[\s*\{', head) is not None
    return re.match(rb"\s*\{", head) is not None and is_listed and all(f'"{key}"'.encode() in head for key in _KEYS)


def read_layers(file: WeightFile) -> Manifest:
    """Return the tensors of the layers, in a single group whose file is not named.

    Raises
    ------
    WeightsError
        If it is damaged, or a layer does not say its sizes.
    """
    members = read_members(file, ("layers", "bias"))
    layers, bias = members.get("layers"), members.get("bias", True)
    if not isinstance(layers, list) or not layers or not isinstance(bias, bool):
        fail(file, None, "no layers", "a list of them")
    entries: list[Entry] = []
    for number, layer in enumerate(layers):
        entries += _read_layer(file, f"layers.{number}", layer, bias)
    manifest = (Group((), tuple(entries)),)
    check_names(file, manifest)
    return manifest


def _read_layer(file: WeightFile, name: str, layer: Any, bias: bool) -> list[Entry]:
    sizes: list[Any] = [layer.get(key) for key in _KEYS] if isinstance(layer, dict) else [layer]
    if len(sizes) < len(_KEYS) or not all(type(n) is int and 0 < n < 1 << 20 for n in sizes):
        fail(file, name, f"{', '.join(_KEYS)} {describe(sizes)}", "whole numbers from 1")
    inside, outside, kernel = sizes
    kinds = {"weight": inside * outside * kernel**_RANK, **({"bias": outside} if bias else {})}
    shapes = {f"{name}.{kind}": read_shape(file, name, [count]) for kind, count in kinds.items()}
    return [Entry(key, shape, "float32", "float32") for key, shape in shapes.items()]

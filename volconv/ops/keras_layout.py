"""Keras's layout of weights, which HDF5 files of Keras and models of TensorFlow.js have: the kernel's axes first.

    convolution     (*k, I/G, O)
    transposed      (*k, O, I)
    Dense           (I, O)
    PReLU           (1, …, 1, C), one slope a channel

The last two axes are swapped and moved to the front; transposed kernels are flipped in neither framework. Reference:
https://keras.io/api/layers/convolution_layers; it is no dialect, for parameters are another matter (``same`` of Keras
at a stride is ``auto_pad: SAME_UPPER`` of ONNX).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from .activations import Activation
from .base import Array, Op
from .conv_layout import plain_shapes
from .reader import OpReader, Shape

KERAS = "keras"

_NAMES = {
    "Conv": {"weight": "kernel"},
    "Linear": {"weight": "kernel"},
    "LayerNorm": {"weight": "gamma", "bias": "beta"},
    "PReLU": {"weight": "alpha"},
    "BatchNorm": {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
}
"""What Keras calls the tensors of operators whose names begin so, where it calls them otherwise."""

_NUMBERS = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}
"""Their places among a layer's variables, by which Keras 3 names them."""


def as_keras(reader: OpReader) -> OpReader:
    """Return `reader` with Keras's layout of its tensors in place of its dialect's."""
    rank = reader.rank
    convolves, is_dense = _is_convolution(reader), reader.name == "Linear"

    def stored_shapes(op: Op) -> Mapping[str, Shape]:
        if isinstance(op, Activation):
            return {name: (*[1] * rank, *shape) for name, shape in op.tensor_shapes().items()}
        if is_dense:
            return {name: shape[::-1] for name, shape in reader.stored_shapes(op).items()}
        if not convolves:
            return op.tensor_shapes()
        shapes = dict(plain_shapes(rank)(op))
        first, second, *kernel = shapes["weight"]
        return {**shapes, "weight": (*kernel, second, first)}

    def canonical(op: Op, name: str, stored: Array) -> Array:
        if convolves and name == "weight":
            stored = np.ascontiguousarray(stored.transpose(rank + 1, rank, *range(rank)))
        elif is_dense and name == "weight":
            stored = np.ascontiguousarray(stored.T)
        return stored.reshape(op.tensor_shapes()[name])

    def plain_shape(shape: Shape) -> Shape:
        if convolves:
            return (shape[-1], shape[-2], *shape[:-2]) if len(shape) == rank + 2 else shape
        if is_dense:
            return shape[::-1]
        return shape[-1:] if all(n == 1 for n in shape[:-1]) else shape

    return replace(reader, stored_shapes=stored_shapes, canonical=canonical, plain_shape=plain_shape)


def _is_convolution(reader: OpReader) -> bool:
    return reader.name.startswith("Conv")


def keras_key(tensors: Iterable[str], stage: str, reader: OpReader, tensor: str) -> str:
    """Return the key that `tensors` have of a stage's tensor, in one of Keras's ways to name it; else the plainest.

    TensorFlow.js has ``conv.kernel``, Keras 2 ``conv.conv.kernel:0`` or ``conv.model.conv.kernel:0``, Keras 3 the same
    without the ``:0``, or ``conv.vars.0``.

    Parameters
    ----------
    stage : str
        The stage's name, which is the layer's.
    tensor : str
        What the operator calls it.
    """
    names: Mapping[str, str] = next((names for kind, names in _NAMES.items() if reader.name.startswith(kind)), {})
    name = names.get(tensor, tensor)
    keys = [key for key in tensors if key.startswith(f"{stage}.")]
    for key in (f"{stage}.{name}", f"{stage}.{name}:0"):
        if key in keys:
            return key
    nested = [key for key in keys if key.removesuffix(":0").endswith(f".{stage}.{name}")]
    if len(nested) == 1:
        return nested[0]
    number = f"{stage}.vars.{_NUMBERS.get(tensor, '')}"
    # A normalisation without scale or shift has fewer variables, whose numbers do not say which.
    is_whole = not reader.name.startswith("BatchNorm") or f"{stage}.vars.{max(_NUMBERS.values())}" in keys
    return number if number in keys and is_whole else f"{stage}.{name}"

"""How an operator is made from what a user wrote: the record a dialect fills in for each operator it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..values import Values
from .base import Array, Op


@dataclass(frozen=True)
class Context:
    """What is known around a stage when its operator is made.

    Attributes
    ----------
    in_channels : int
        Of the stage's input.
    weight_shape : tuple of int or None
        Shape of the weight as stored, where it is known before the operator is.
    depthwise : bool
        Whether the weight is a generated filter bank, applied to each channel by itself.
    """

    in_channels: int
    weight_shape: tuple[int, ...] | None = None
    depthwise: bool = False


def _no_tensors(op: Op) -> Mapping[str, tuple[int, ...]]:
    return op.tensor_shapes()


def _as_stored(op: Op, name: str, stored: Array) -> Array:  # noqa: ARG001
    return stored


@dataclass(frozen=True)
class OpReader:
    """One operator in one dialect.

    Attributes
    ----------
    name : str
        The ``op:`` it answers to.
    parameters : mapping
        JSON Schema of each parameter.
    read : callable
        (values, context) to the canonical operator; every fault is a `SpecError` at its key.
    stored_shapes : callable
        (op) to the shape of each tensor in this dialect's layout.
    canonical : callable
        (op, name, stored array) to the array in canonical layout.
    rank : int
        Spatial axes of its weights: 3, or 2 for slice-by-slice operators.
    tensors : tuple of str
        Names of the tensors it may want.
    in_axis : int
        Axis of the weight that counts inputs: 1, or 0 for transposed convolutions.
    """

    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    read: Callable[[Values, Context], Op]
    stored_shapes: Callable[[Op], Mapping[str, tuple[int, ...]]] = _no_tensors
    canonical: Callable[[Op, str, Array], Array] = _as_stored
    rank: int = 3
    tensors: tuple[str, ...] = ()
    in_axis: int = 1


@dataclass(frozen=True)
class Dialect:
    """A framework's way to write operators: one file each.

    Attributes
    ----------
    readers : mapping
        Operator name to `OpReader`.
    fan : callable
        (op) to the fan-in its default initialisation is scaled by: weights and bias are uniform in ±1/sqrt(fan).
    """

    name: str
    readers: Mapping[str, OpReader]
    fan: Callable[[Op], int]


INTS = {"oneOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
NUMBERS = {"oneOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}, "minItems": 1}]}
NUMBER = {"type": "number"}

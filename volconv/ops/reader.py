"""How an operator is made from what a user wrote: the record a dialect fills in for each operator it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..geometry import Triple
from ..values import Values
from .base import Array, Op, Wire
from .initial import Initial

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Context:
    """What is known around a stage when its operator is made.

    Attributes
    ----------
    in_channels : int
        Of the stage's input.
    weight_shape : tuple of int or None
        Shape of the weight in torch's layout, where it is known before the operator is.
    depthwise : bool
        Whether the weight is a generated filter bank, applied to each channel by itself.
    shape : tuple of int or None
        D, H, W of the stage's input. None where a layer is made before it has seen one: padding that follows from
        the size is then 0, and what depends on it unchecked.
    inputs : tuple of Wire
        Everything the stage reads; empty where a layer is made before it has seen an input.
    """

    in_channels: int
    weight_shape: Shape | None = None
    depthwise: bool = False
    shape: Triple | None = None
    inputs: tuple[Wire, ...] = ()


def _no_tensors(op: Op) -> Mapping[str, Shape]:
    return op.tensor_shapes()


def _to_canonical(op: Op, name: str, stored: Array) -> Array:
    return stored.reshape(op.tensor_shapes()[name])


def _as_stored(shape: Shape) -> Shape:
    return shape


def _no_fault(op: Op, tensors: Mapping[str, Array], dtype: str) -> None:  # noqa: ARG001
    return None


def _no_text(op: Op, written: Mapping[str, Any]) -> str:  # noqa: ARG001
    return ""


@dataclass(frozen=True)
class OpReader:
    """One operator in one dialect.

    Attributes
    ----------
    name : str
        The ``op:`` it answers to.
    parameters : mapping
        JSON Schema of each parameter; ``description`` says the dialect's rule for it.
    read : callable
        (values, context) to the canonical operator; every fault is a `SpecError` at its key, or a `ShapeError`.
    stored_shapes : callable
        (op) to the shape of each tensor in this dialect's layout.
    canonical : callable
        (op, name, stored array) to the array in canonical layout: a reshape in every dialect.
    plain_shape : callable
        Shape of a weight in this dialect's layout to its shape in torch's.
    rank : int
        Spatial axes of its weights: 3, or 2 for slice-by-slice operators.
    tensors : tuple of str
        Names of the tensors it may want.
    in_axis : int
        Axis of the weight that counts inputs: 1, or 0 for transposed convolutions.
    follows_weight : bool
        Whether parameters left out may follow from the weight's shape, so that it is looked for before they are read.
    check_tensors : callable
        (op, canonical tensors, type of computation); raises `WeightsError` for values that cannot be computed with.
    ignored : tuple of str
        Tensors that files hold beside the wanted ones and that change nothing.
    inputs : (int, int or None)
        Fewest and most stages it reads; None: any number.
    broadcast : bool
        Whether inputs of one channel, or of length 1 along an axis, stand for all of them.
    refused : mapping
        Parameters that other dialects know and this one has not, to the reason.
    unbatched : bool
        Whether a call takes an array without the batch axis.
    output_size : bool
        Whether a call takes ``output_size``.
    text : callable
        (op, parameters as written) to what the framework prints between the parentheses of its ``repr``.
    """

    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    read: Callable[[Values, Context], Op]
    stored_shapes: Callable[[Op], Mapping[str, Shape]] = _no_tensors
    canonical: Callable[[Op, str, Array], Array] = _to_canonical
    plain_shape: Callable[[Shape], Shape] = _as_stored
    rank: int = 3
    tensors: tuple[str, ...] = ()
    in_axis: int = 1
    follows_weight: bool = True
    check_tensors: Callable[[Op, Mapping[str, Array], str], None] = _no_fault
    ignored: tuple[str, ...] = ()
    inputs: tuple[int, int | None] = (1, 1)
    broadcast: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    unbatched: bool = True
    output_size: bool = False
    text: Callable[[Op, Mapping[str, Any]], str] = _no_text


@dataclass(frozen=True)
class Dialect:
    """A framework's way to write operators: one file each.

    Attributes
    ----------
    readers : mapping
        Operator name to `OpReader`.
    initial : callable
        (op, tensor name, spatial axes of the weight) to the distribution of its default initialisation.
    """

    name: str
    readers: Mapping[str, OpReader]
    initial: Callable[[Op, str, int], Initial]


INT = {"type": "integer"}
INTS = {"oneOf": [INT, {"type": "array", "items": INT}]}
NUMBERS = {"oneOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}, "minItems": 1}]}
NUMBER = {"type": "number"}

"""Readers of the operators that mean the same in every dialect: activations, arithmetic, Affine, Clip, VectorNorm, …"""

from __future__ import annotations

from collections.abc import Callable

from ..values import Values
from .activations import Activation
from .affine import Affine
from .arithmetic_reader import ARITHMETIC_READERS
from .base import Op
from .identity import Identity
from .reader import NUMBER, NUMBERS, Context, OpReader
from .vector_norm import VectorNorm

# torch.nn class: (kernel function, {parameter: default})
_FUNCTIONS: dict[str, tuple[str, dict[str, float]]] = {
    "ReLU": ("relu", {}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": 0.01}),
    "ELU": ("elu", {"alpha": 1.0}),
    "SELU": ("selu", {}),
    "SiLU": ("silu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "Softplus": ("softplus", {"beta": 1.0, "threshold": 20.0}),
    "Hardswish": ("hardswish", {}),
    "Abs": ("abs", {}),
}


def _function_reader(name: str, kind: str, defaults: dict[str, float]) -> OpReader:
    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(defaults)
        return Activation(kind, tuple(values.number(key, default) for key, default in defaults.items()))

    return OpReader(name, dict.fromkeys(defaults, NUMBER), read)


def _read_gelu(values: Values, context: Context) -> Op:  # noqa: ARG001
    values.refuse_unknown(("approximate",))
    approximate = values.choice("approximate", ("none", "tanh"), "none")
    return Activation("gelu" if approximate == "none" else "gelu_tanh")


def _read_prelu(values: Values, context: Context) -> Op:
    values.refuse_unknown(("num_parameters",))
    found = context.weight_shape
    default = found[0] if found is not None and len(found) == 1 else 1
    return Activation("prelu", (), values.integer("num_parameters", default, minimum=1))


def _read_clip(values: Values, context: Context) -> Op:  # noqa: ARG001
    values.refuse_unknown(("min", "max"))
    low = values.number("min", float("-inf"))
    high = values.number("max", float("inf"))
    if "min" not in values and "max" not in values:
        values.fail(None, "neither min nor max", "at least one of them")
    if low > high:
        values.fail("min", f"{low:g}", f"at most max = {high:g}")
    return Activation("clip", (low, high))


def _read_affine(values: Values, context: Context) -> Op:  # noqa: ARG001
    values.refuse_unknown(("scale", "shift"))
    if "scale" not in values and "shift" not in values:
        values.fail(None, "neither scale nor shift", "at least one of them")
    scale, shift = (_as_tuple(values.numbers(key, default)) for key, default in (("scale", 1.0), ("shift", 0.0)))
    return Affine(scale, shift)


def _as_tuple(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _plain_reader(make: Callable[[], Op]) -> Callable[[Values, Context], Op]:
    def read(values: Values, context: Context) -> Op:  # noqa: ARG001
        values.refuse_unknown(())
        return make()

    return read


SIMPLE_READERS: dict[str, OpReader] = {
    **{name: _function_reader(name, kind, defaults) for name, (kind, defaults) in _FUNCTIONS.items()},
    "GELU": OpReader("GELU", {"approximate": {"enum": ["none", "tanh"]}}, _read_gelu),
    "PReLU": OpReader("PReLU", {"num_parameters": {"type": "integer", "minimum": 1}}, _read_prelu, tensors=("weight",)),
    "Clip": OpReader("Clip", {"min": NUMBER, "max": NUMBER}, _read_clip),
    "Affine": OpReader("Affine", {"scale": NUMBERS, "shift": NUMBERS}, _read_affine),
    **ARITHMETIC_READERS,
    "VectorNorm": OpReader("VectorNorm", {}, _plain_reader(VectorNorm)),
    "Identity": OpReader("Identity", {}, _plain_reader(Identity)),
}

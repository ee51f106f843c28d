"""What the dialects share in reading batch normalisation: the same formula, each with its own parameters and layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..values import Values
from .base import Array, Op
from .batch_norm import STATISTICS, BatchNorm, check_statistics
from .conv_reader import described
from .reader import INT, NUMBER, Context, OpReader, Shape

NORM_TENSORS = ("weight", "bias", *STATISTICS)
_FLAG = {"type": "boolean"}
NUM_FEATURES = {"num_features": described({**INT, "minimum": 1}, "the input's channels, if given")}
EPS = {"eps": described({**NUMBER, "minimum": 0}, "number, ≥ 0; added to the variance", 1e-5)}
BIAS = {"bias": described(_FLAG, "false: no `bias`", True)}
AFFINE = {"affine": described(_FLAG, "false: no `weight`, no `bias`", True)}
TRACKED = {
    "track_running_stats": described({"const": True}, "true: false would take each volume's own statistics", True)
}


def momentum(default: float, *, cumulative: bool) -> dict[str, Any]:
    """Return the parameter's schema: it matters in training alone; `cumulative` where null stands for an average."""
    kind = {"type": ["number", "null"]} if cumulative else NUMBER
    words = "number or null" if cumulative else "number"
    return {"momentum": described(kind, f"{words}; of training alone", default)}


def make_norm_reader(
    name: str,
    parameters: Mapping[str, Mapping[str, Any]],
    refused: Mapping[str, str],
    text: Callable[[Op, Mapping[str, Any]], str],
    *,
    rank: int,
    stored_shape: Callable[[int], Shape] = lambda channels: (channels,),
) -> OpReader:
    """Return the reader of a dialect's batch normalisation.

    Parameters
    ----------
    name : str
        ``BatchNorm3d`` or ``BatchNorm2d``.
    parameters, refused : mapping
        As `OpReader` has them.
    text : callable
        As `OpReader` has it.
    rank : int
        Spatial axes of the layer's input.
    stored_shape : callable
        Channels to the shape of each tensor in the dialect's layout.
    """

    def read(values: Values, context: Context) -> BatchNorm:
        values.refuse_keys(refused)
        values.refuse_unknown(parameters)
        if values.get("momentum", None) is not None or "null" not in parameters["momentum"]["type"]:
            values.number("momentum", 0.0)
        return _read(values, context)

    def stored_shapes(op: Op) -> dict[str, Shape]:
        return {key: stored_shape(channels) for key, (channels,) in op.tensor_shapes().items()}

    return OpReader(
        name,
        parameters,
        read,
        stored_shapes,
        rank=rank,
        tensors=NORM_TENSORS,
        follows_weight=False,
        check_tensors=_check,
        ignored=("num_batches_tracked",),
        refused=refused,
        unbatched=False,
        text=text,
    )


def _read(values: Values, context: Context) -> BatchNorm:
    channels = values.integer("num_features", context.in_channels, minimum=1)
    if channels != context.in_channels:
        values.fail("num_features", str(channels), f"{context.in_channels}, the channels of the stage's input")
    affine = values.boolean("affine", True)
    op = BatchNorm(channels, values.number("eps", 1e-5, minimum=0.0), affine, affine and values.boolean("bias", True))
    if values.integer("training_mode", 0) != 0:
        values.fail("training_mode", str(values.get("training_mode")), "0: statistics are gathered in training alone")
    values.boolean("freeze", False)
    if not values.boolean("track_running_stats", True):
        values.fail(
            "track_running_stats",
            "false",
            "true: without running statistics a volume would be normalised by its own mean and variance, which differ "
            "from the statistics of the batches the network was trained on",
        )
    return op


def _check(op: Op, tensors: Mapping[str, Array], dtype: str) -> None:
    assert isinstance(op, BatchNorm)
    check_statistics(op, tensors, dtype)


def format_norm(op: Op, written: Mapping[str, Any], default_momentum: float, *, with_bias: bool = False) -> str:
    """Return what the frameworks print between the parentheses; `with_bias` where ``bias`` is among it."""
    assert isinstance(op, BatchNorm)
    parts = [str(op.num_features), f"eps={op.eps}", f"momentum={written.get('momentum', default_momentum)}"]
    parts.append(f"affine={op.weight}")
    if with_bias:
        parts.append(f"bias={op.bias}")
    return ", ".join([*parts, "track_running_stats=True"])

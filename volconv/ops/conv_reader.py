"""What the dialects share in reading convolutions: channels, windows, padding, and the canonical operator made of them.

Lists here have one number an axis the window slides over: D, H, W, or H, W for slice-by-slice operators.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..geometry import Triple
from ..values import Values, describe
from .conv3d import Conv3d
from .conv_transpose3d import ConvTranspose3d
from .reader import Context
from .window import same_padding

Ints = tuple[int, ...]
Pads = tuple[Ints, Ints]

WEIGHT_AND_BIAS = ("weight", "bias")


@dataclass(frozen=True)
class Channels:
    """Numbers of channels and of the blocks they are connected in."""

    groups: int
    inside: int
    outside: int


@dataclass(frozen=True)
class Window:
    """Kernel size, stride and dilation."""

    kernel: Ints
    stride: Ints
    dilation: Ints

    @property
    def rank(self) -> int:
        """Number of axes it slides over."""
        return len(self.kernel)

    @property
    def reach(self) -> Ints:
        """Distance from the first tap to the last: ``dilation · (kernel - 1)``."""
        return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))


def refuse_unknown(values: Values, known: Iterable[str], refused: Mapping[str, str]) -> None:
    """Raise for the first key the dialect does not know, with the reason where `refused` gives one."""
    values.refuse_keys(refused)
    values.refuse_unknown((*known, "bias"))


def read_channels(values: Values, context: Context, rank: int, in_axis: int) -> Channels:
    """Return the channels; what is left out follows from the input and the weight."""
    shape = context.weight_shape
    if shape is not None:
        _check_axes(values, shape, rank)
    inside = values.integer("in_channels", context.in_channels, minimum=1)
    if inside != context.in_channels:
        values.fail("in_channels", str(inside), f"{context.in_channels}, the channels of the stage's input")
    groups = values.integer("groups", inside if context.depthwise else 1, minimum=1)
    if inside % groups:
        values.fail("groups", f"{groups} groups for in_channels {inside}", "in_channels divisible by groups")
    default = None
    if shape is not None:
        default = shape[0] if in_axis == 1 else shape[1] * groups
    outside = values.integer("out_channels", default, minimum=1)
    if outside is None:
        values.fail("out_channels", "nothing", "out_channels, for the weight is not known beforehand")
    if outside % groups:
        values.fail("groups", f"{groups} groups for out_channels {outside}", "out_channels divisible by groups")
    return Channels(groups, inside, outside)


def read_window(values: Values, context: Context, rank: int, *, broadcast_one: bool = False) -> Window:
    """Return kernel, stride and dilation; the kernel follows from the weight where it is left out.

    Parameters
    ----------
    broadcast_one : bool
        Whether a list of one stride, or one dilation, stands for all axes.
    """
    ones = (1,) * rank
    return Window(
        _read_kernel(values, context, rank),
        values.integers("stride", rank, ones, 1, broadcast_one),
        values.integers("dilation", rank, ones, 1, broadcast_one),
    )


def _read_kernel(values: Values, context: Context, rank: int) -> Ints:
    if "kernel_size" in values:
        return values.integers("kernel_size", rank, minimum=1)
    shape = context.weight_shape
    if shape is None:
        values.fail("kernel_size", "nothing", "kernel_size, for the weight is not known beforehand")
    return tuple(shape[2:])


def _check_axes(values: Values, shape: Ints, rank: int) -> None:
    """Raise for a weight of other axes: the rank is the stage's, never guessed from the array."""
    if len(shape) == rank + 2:
        return
    expected = f"{rank + 2} axes, two of channels and {rank} of the kernel"
    if len(shape) == rank + 3:
        expected += f"; {rank + 3}, groups first, are MegEngine's: weights: {{file: …, layout: megengine}}"
    values.fail("weight", f"a weight of shape {shape}", expected, code="weights.shape")


def read_sizes(values: Values, key: str, rank: int, *, broadcast_one: bool = False) -> Ints:
    """Return one number of voxels an axis, at least 0 and 0 by default; text is refused."""
    if isinstance(values.get(key, 0), str):
        values.fail(key, describe(values.get(key)), f"a whole number or a list of {rank}")
    return values.integers(key, rank, (0,) * rank, 0, broadcast_one)


def read_padding(values: Values, window: Window, *, any_case: bool = False, broadcast_one: bool = False) -> Pads:
    """Return low and high padding from numbers of voxels, ``same`` or ``valid``.

    Parameters
    ----------
    any_case : bool
        Whether capital letters are as good.
    """
    raw = values.get("padding", 0)
    if not isinstance(raw, str):
        both = read_sizes(values, "padding", window.rank, broadcast_one=broadcast_one)
        return both, both
    name = raw.lower() if any_case else raw
    if name not in ("same", "valid"):
        hint = f"; did you mean {name.lower()!r}?" if name.lower() in ("same", "valid") else ""
        values.fail("padding", describe(raw), f"one of same, valid, or numbers of voxels{hint}")
    if name == "valid":
        return (0,) * window.rank, (0,) * window.rank
    if any(s != 1 for s in window.stride):
        values.fail("padding", f"same with stride {list(window.stride)}", "stride 1, or padding in voxels")
    return same_padding(window.kernel, window.dilation)


def read_output_padding(
    values: Values, window: Window, limits: Ints, rule: str, *, broadcast_one: bool = False
) -> Ints:
    """Return ``output_padding``, each below its axis' limit; `rule` says in words what the limit is."""
    extra = read_sizes(values, "output_padding", window.rank, broadcast_one=broadcast_one)
    for amount, limit in zip(extra, limits, strict=True):
        if amount >= limit:
            values.fail("output_padding", str(amount), f"less than {rule} of its axis, here {limit}")
    return extra


def larger(window: Window) -> Ints:
    """Return the larger of stride and dilation of each axis."""
    return tuple(map(max, window.stride, window.dilation))


LARGER = "the stride or the dilation"


def make_conv(values: Values, channels: Channels, window: Window, pads: Pads, mode: str = "zeros") -> Conv3d:
    """Return the canonical operator, with a depth of one voxel where the window slides over H and W alone."""
    return Conv3d(
        channels.inside, channels.outside, triple(window.kernel, 1), triple(window.stride, 1), triple(pads[0], 0),
        triple(pads[1], 0), triple(window.dilation, 1), channels.groups, values.boolean("bias", True), mode,
    )  # fmt: skip


def make_transposed(values: Values, channels: Channels, window: Window, pads: Pads, extra: Ints) -> ConvTranspose3d:
    """Return the canonical operator, with a depth of one voxel where the window slides over H and W alone."""
    return ConvTranspose3d(
        channels.inside, channels.outside, triple(window.kernel, 1), triple(window.stride, 1), triple(pads[0], 0),
        triple(pads[1], 0), triple(extra, 0), triple(window.dilation, 1), channels.groups,
        values.boolean("bias", True),
    )  # fmt: skip


def triple(numbers: Ints, missing: int) -> Triple:
    """Return `numbers` as D, H, W, with `missing` for the depth where there are two."""
    padded = (missing,) * (3 - len(numbers)) + tuple(numbers)
    return padded[0], padded[1], padded[2]


def described(schema: Mapping[str, Any], text: str, default: object = None) -> dict[str, Any]:
    """Return `schema` with a description and, unless None, a default."""
    return {**schema, "description": text, **({} if default is None else {"default": default})}

"""Padding as ONNX writes it, for windows of every kind: ``pads``, ``auto_pad``, and ``padding`` as torch does."""

from __future__ import annotations

from ..values import Values, describe
from .conv_reader import Ints, Pads, Window, read_sizes
from .reader import Context

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def read_auto_pad(values: Values) -> str:
    """Return ``auto_pad``, once it is known that not two ways to pad are given."""
    auto = values.choice("auto_pad", AUTO_PADS, "NOTSET")
    for key in ("pads", "auto_pad", "output_shape"):
        if key in values and "padding" in values:
            values.fail("padding", f"padding beside {key}", "one of them")
    if auto != "NOTSET" and "pads" in values:
        values.fail("pads", f"pads beside auto_pad {auto}", "pads at auto_pad NOTSET only")
    return auto


def read_pads(values: Values, auto: str, rank: int) -> Pads:
    """Return low and high padding; none where `auto` is not NOTSET."""
    if auto != "NOTSET":
        return (0,) * rank, (0,) * rank
    if "pads" not in values:
        both = read_sizes(values, "padding", rank)
        return both, both
    raw = values.get("pads")
    if not isinstance(raw, list | tuple):
        values.fail("pads", describe(raw), f"a list of {2 * rank}: lows, then highs")
    ends = values.integers("pads", 2 * rank, minimum=0)
    return ends[:rank], ends[rank:]


def spatial_lengths(context: Context, rank: int) -> Ints | None:
    """Return the input's length along each axis a window slides over, None where it is not known yet."""
    return None if context.shape is None else tuple(context.shape[3 - rank :])


def total_forward(window: Window, lengths: Ints | None) -> Ints:
    """Return the padding of each axis, both ends together, that makes the output ``ceil(length / stride)`` long."""
    if lengths is None:
        return window.reach if all(s == 1 for s in window.stride) else (0,) * window.rank
    return tuple(
        max(0, (-(-length // s) - 1) * s + reach + 1 - length)
        for length, s, reach in zip(lengths, window.stride, window.reach, strict=True)
    )


def split_padding(total: Ints, *, at_end: bool) -> Pads:
    """Return low and high padding; an odd total puts the extra voxel at the end or the beginning."""
    small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (small, large) if at_end else (large, small)

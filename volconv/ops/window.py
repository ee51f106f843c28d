"""Arithmetic of sliding windows along one axis: output lengths, 'same' padding, limits of the padding modes."""

from __future__ import annotations

from math import prod

from ..errors import ShapeError
from ..geometry import Triple
from .base import AXIS_NAMES

LARGEST = 2**59
"""Numbers in a volume of which every byte still has a 64-bit address, as float64."""

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def same_padding(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return low and high padding that keep the size at stride 1; an odd total puts the extra voxel at the high end.

    As ``torch.nn.Conv3d(padding='same')``.
    """
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    low = [t // 2 for t in total]
    high = [t - n for t, n in zip(total, low, strict=True)]
    return tuple(low), tuple(high)


def forward_length(length: int, low: int, high: int, kernel: int, stride: int, dilation: int) -> int:
    """Return ``floor((L + lo + hi - d*(k-1) - 1)/s) + 1``; 0 or less where the kernel does not fit."""
    return (length + low + high - dilation * (kernel - 1) - 1) // stride + 1


def check_padding_limit(axis: int, length: int, low: int, high: int, mode: str) -> None:
    """Raise `ShapeError` where reflection or wrapping would need more voxels than there are."""
    most = max(low, high)
    limit = length - 1 if mode == "reflect" else length
    if mode in ("reflect", "circular") and most > limit:
        raise ShapeError(
            f"{mode} padding of {most} along {AXIS_NAMES[axis]} on a size of {length}, expected at most {limit}"
        )


def check_size(shape: Triple, channels: int) -> None:
    """Raise `ShapeError` for a volume that no plan could cut into tiles."""
    if prod(shape) * channels > LARGEST:
        size = " x ".join(map(str, shape))
        raise ShapeError(f"output of {size} voxels and {channels} channels, expected at most 2^59 numbers")

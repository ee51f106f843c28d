"""The `output_size` of a call to a transposed convolution, turned into its output padding."""

from __future__ import annotations

from dataclasses import replace
from operator import index
from typing import Any

from ..errors import UsageError
from ..ops.conv_transpose3d import ConvTranspose3d
from ..values import describe


def resolve_output_padding(
    op: ConvTranspose3d, input_shape: tuple[int, ...], output_size: Any, rank: int = 3
) -> ConvTranspose3d:
    """Return `op` with the output padding that gives `output_size`, as ``torch.nn.ConvTranspose3d`` does.

    Parameters
    ----------
    input_shape : tuple of int
        (N, C, D, H, W) or (C, D, H, W).
    output_size : sequence of int
        D, H, W; leading entries for batch and channels are ignored.
    rank : int
        2 where there is no D in either.

    Raises
    ------
    UsageError
        If an axis cannot have that size, naming the least and the largest that it can.
    """
    axes = ", ".join("DHW"[3 - rank :])
    try:
        sizes = tuple(index(size) for size in output_size)
    except TypeError:
        raise UsageError(f"found output_size {describe(output_size)}, expected whole numbers {axes}") from None
    if len(sizes) not in (rank, len(input_shape)):
        raise UsageError(f"found output_size of {len(sizes)} numbers, expected {rank} or {len(input_shape)}")
    extra = [0] * (3 - rank)
    for axis, length, size in zip(range(3 - rank, 3), input_shape[-rank:], sizes[-rank:], strict=True):
        k, s, d = op.kernel_size[axis], op.stride[axis], op.dilation[axis]
        least = (length - 1) * s - op.pad_low[axis] - op.pad_high[axis] + d * (k - 1) + 1
        if not least <= size < least + s:
            raise UsageError(f"found output_size {size} along {'DHW'[axis]}, expected {least} to {least + s - 1}")
        extra.append(size - least)
    return replace(op, output_padding=(extra[0], extra[1], extra[2]))

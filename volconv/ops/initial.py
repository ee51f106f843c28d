"""What the frameworks draw tensors from where there are no weights: the distributions, not the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from typing import Literal

from .base import Op


@dataclass(frozen=True)
class Initial:
    """A distribution.

    Attributes
    ----------
    kind : str
        ``uniform`` in [-scale, scale), ``normal`` of mean 0 and standard deviation `scale`, or ``zeros``.
    """

    kind: Literal["uniform", "normal", "zeros"]
    scale: float = 0.0


def uniform_by_fan(op: Op, name: str, rank: int) -> Initial:  # noqa: ARG001
    """Return what torch draws weight and bias from: uniform within 1/sqrt(``weight.size(1) · prod(kernel)``).

    It is ``torch.nn.init.kaiming_uniform_`` with ``a=sqrt(5)``; for a transposed convolution, whose weight is
    (I, O/G, *k), the fan counts outputs.
    """
    return Initial("uniform", 1.0 / sqrt(max(1, prod(op.tensor_shapes()["weight"][1:]))))

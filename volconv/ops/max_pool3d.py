"""The largest value of each window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .pool import Pool


@dataclass(frozen=True)
class MaxPool3d(Pool):
    """``y[c, p] = max over t of x[c, p·stride - pad_low + t·dilation]``; NaN if one is; -inf of none."""

    kernel: ClassVar[str] = "max_pool"

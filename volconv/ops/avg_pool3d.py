"""The mean of each window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .pool import Pool


@dataclass(frozen=True)
class AvgPool3d(Pool):
    """``y[c, p] = (sum over t of x[c, p·stride - pad_low + t·dilation]) / divisor``, t rising along d, h, w.

    Attributes
    ----------
    count_include_pad : bool
        Whether the divisor counts the taps in the padding too, or those in the volume alone. Taps beyond the padding,
        which `ceil_mode` makes, never count.
    divisor : int
        What to divide by instead; 0: by the count. A window of no tap at all gives NaN.
    """

    count_include_pad: bool = True
    divisor: int = 0

    kernel: ClassVar[str] = "avg_pool"

    def describe(self) -> Mapping[str, Any]:
        """Return the parameters that differ from their defaults."""
        out = dict(super().describe())
        if not self.count_include_pad:
            out["count_include_pad"] = False
        if self.divisor:
            out["divisor_override"] = self.divisor
        return out

"""Random initial tensors, only on request and by seed, with the distributions of the dialects.

Reproducible: the bits come from NumPy's PCG64 seeded through SeedSequence, whose streams NumPy guarantees across
versions and machines (NEP 19), and uniform numbers are made from them here: the top 53 bits of each 64-bit word,
times 2⁻⁵³. Normal numbers come from `numpy.random.Generator.standard_normal`, the same within a NumPy version.
Frameworks share the distributions, never the streams.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import SpecError
from ..values import describe


@dataclass(frozen=True)
class Distribution:
    """What to draw from.

    Attributes
    ----------
    kind : str
        ``uniform`` in [-scale, scale), ``normal`` with standard deviation `scale` and mean 0, or ``zeros``.
    """

    kind: Literal["uniform", "normal", "zeros"]
    scale: float = 0.0


def make_initial(distribution: Distribution, shape: Sequence[int], seed: int, name: str = "") -> NDArray[np.float64]:
    """Return a float64 array of `shape` drawn from `distribution`.

    Parameters
    ----------
    seed : int
        At least 0.
    name : str
        Of the tensor: tensors of one seed and different names are independent.

    Raises
    ------
    SpecError
        If `seed` is no whole number of at least 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SpecError(f"seed: found {describe(seed)}, expected a whole number of at least 0")
    if distribution.kind == "zeros":
        return np.zeros(tuple(shape))
    stream = int.from_bytes(hashlib.sha256(name.encode()).digest(), "little")
    bits = np.random.PCG64(np.random.SeedSequence([seed, stream]))
    if distribution.kind == "normal":
        return distribution.scale * np.random.Generator(bits).standard_normal(tuple(shape))
    words = np.asarray(bits.random_raw(math.prod(shape)), dtype=np.uint64)
    unit = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    out: NDArray[np.float64] = ((2 * unit - 1) * distribution.scale).reshape(tuple(shape))
    return out

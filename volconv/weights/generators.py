"""The table of filter generators: one name and its parameters in, a bank of float64 filters out.

Adding a generator is one file with a `Generator` record and one name in the tuple below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..values import Values, describe, nearest
from .derivative import GRADIENT, LAPLACIAN, MEAN, PREWITT, SOBEL
from .gabor import GABOR
from .gaussian import DOG, GAUSSIAN, LOG, UNSHARP
from .generator import Filters, Generator, Request
from .texture import LAWS

_ALL = (GAUSSIAN, LOG, DOG, LAPLACIAN, MEAN, SOBEL, PREWITT, GRADIENT, UNSHARP, LAWS, GABOR)

GENERATORS: Mapping[str, Generator] = {g.name: g for g in _ALL}
"""Name to `Generator`, in the order of the documentation."""


def make_filters(name: str, values: Values, spacing_mm: Sequence[float] | None, ndim: int = 3) -> Filters:
    """Return the filters that generator `name` makes.

    Parameters
    ----------
    name : str
        A key of `GENERATORS`.
    values : Values
        The generator's parameters as written (without the generator's name).
    spacing_mm : sequence of 3 floats, or None
        Distance between voxels along D, H, W of the grid the filters are applied to; None where unknown.
    ndim : int
        3 for ``Conv3d``; 2 for ``Conv2d``, over H and W only.

    Returns
    -------
    (F, kd, kh, kw) or (F, kh, kw) float64 array
        Taps to correlate with; all sizes odd.

    Raises
    ------
    SpecError
        For an unknown generator or parameter, a value that is none, millimetres without a spacing, an even size, a
        kernel of an absurd size, and taps that are not finite.
    """
    generator = GENERATORS.get(name) if isinstance(name, str) else None
    if generator is None:
        close = nearest(name, GENERATORS) if isinstance(name, str) else ""
        values.fail("generator", describe(name), f"one of {', '.join(GENERATORS)}{close}")
    values.refuse_unknown(p.name for p in generator.parameters)
    spacing = None if spacing_mm is None else tuple(float(s) for s in spacing_mm)[-ndim:]
    if spacing is not None and not all(0 < s < np.inf for s in spacing):
        values.fail(None, f"a spacing of {describe(list(spacing))} mm", "positive spacings")
    with np.errstate(all="ignore"):
        out = generator.make(Request(values, spacing, ndim))
    if not np.isfinite(out).all():
        values.fail(None, "parameters whose taps overflow", "taps that are finite numbers")
    return np.ascontiguousarray(out)


def generator_schemas() -> dict[str, dict[str, Any]]:
    """Return for every generator the JSON Schema of each of its parameters, by name."""
    return {g.name: {p.name: p.schema() for p in g.parameters} for g in GENERATORS.values()}

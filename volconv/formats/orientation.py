"""The letters that say which way a volume's axes point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def orientation_letters(affine: NDArray[np.float64] | None) -> str | None:
    """Return nibabel's axis codes for an (x, y, z) affine in RAS+ (``RAS``, ``LIA``); None without one."""
    if affine is None:
        return None
    from nibabel.orientations import aff2axcodes

    return "".join(code or "?" for code in aff2axcodes(affine))  # type: ignore[no-untyped-call]

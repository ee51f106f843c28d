"""Files for the tests of sources that wrap others."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def write_nifti(path: Path, values: np.ndarray, order: str) -> Path:
    """Write `values` (C, D, H, W) such that `order` reads them so, channels along the fourth axis."""
    spatial = values if order == "ijk" else values.transpose(0, 3, 2, 1)
    data = spatial[0] if len(values) == 1 else np.moveaxis(spatial, 0, -1)
    image = nib.Nifti1Image(data, np.diag([1.0, 2, 3, 1]))
    image.header.set_slope_inter(1, 0)
    nib.save(image, path)
    return path

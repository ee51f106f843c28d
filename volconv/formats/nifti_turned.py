"""A NIfTI header after its axes were swapped and flipped: both forms still place every voxel where it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from ..volume import VolumeInfo
from .nifti_axes import turn as as_ijk
from .nifti_header import NiftiHeader
from .nifti_output import ALIGNED, qform_of
from .orientation import Turn


def turned_header(header: NiftiHeader, turn: Turn, info: VolumeInfo) -> NiftiHeader:
    """Return `header`, read as `info` says, after `turn` of its (D, H, W) axes."""
    matrix = turn.matrix(info.shape)
    if info.axes == "kji":
        matrix = matrix[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])]
    shape = as_ijk(turn.shape(info.shape), info.axes)
    order = [int(np.argmax(np.abs(matrix[:3, axis]))) for axis in range(3)]
    out = replace(
        header,
        dims=(*shape, *header.dims[3:]),
        pixdim=(header.pixdim[0], *(header.pixdim[1 + axis] for axis in order), *header.pixdim[4:]),
        affine=None if header.affine is None else _turned(header.affine, matrix),
    )
    if header.sform_code > 0:
        srow = _turned(np.array(header.srow).reshape(3, 4), matrix)
        out = replace(out, srow=tuple(float(value) for value in srow.ravel()))
    elif header.qform_code <= 0 and out.affine is not None:  # spacing alone would say the old orientation
        srow = out.affine[:3]
        out = replace(out, sform_code=ALIGNED, srow=tuple(float(value) for value in srow.ravel()))
    if header.qform_code > 0:
        kind: Any = Nifti2Header
        raw = kind()
        raw.set_qform(_turned(qform_of(header), matrix), code=1)
        qfac, *zooms = (float(value) for value in raw["pixdim"][:4])
        b, c, d = (float(raw[f"quatern_{letter}"]) for letter in "bcd")
        x, y, z = (float(raw[f"qoffset_{letter}"]) for letter in "xyz")
        out = replace(out, pixdim=(qfac, *zooms, *out.pixdim[4:]), quaternion=(b, c, d), qoffset=(x, y, z))
    return out


def _turned(form: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``form @ matrix``, written out: a matrix product may round differently on another processor."""
    out = form.copy()
    for new in range(3):
        old = int(np.argmax(np.abs(matrix[:3, new])))
        out[:, new] = form[:, old] * matrix[old, new]
        out[:, 3] += form[:, old] * matrix[old, 3]
    return out

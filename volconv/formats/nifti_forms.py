"""The three ways in which a NIfTI header says where voxels lie, as affines from (i, j, k) to the file's units.

Formulas: nifti1.h, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE". Rounding is nibabel's to the last bit, for
affines decide the geometry of outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EPSILON = {1: float(np.finfo(np.float32).eps), 2: float(np.finfo(np.float64).eps)}
"""Of the type that the header's version has for a quaternion: rounding makes that of a half turn longer than 1."""


def make_sform(rows: ArrayLike) -> NDArray[np.float64]:
    """Return the affine of ``srow_x``, ``srow_y`` and ``srow_z``: 12 numbers, or three rows of 4."""
    out = np.eye(4)
    out[:3] = np.asarray(rows).reshape(3, 4)
    return out


def make_qform(
    spacing: Sequence[float], qfac: float, quaternion: Sequence[float], offset: Sequence[float], version: int
) -> NDArray[np.float64]:
    """Return the affine of a rotation.

    Parameters
    ----------
    spacing : 3 floats
        ``pixdim[1:4]``.
    qfac : float
        1 or -1: which way the third axis runs.
    quaternion : 3 floats
        ``quatern_b, c, d`` of a unit quaternion whose first part is not negative.
    offset : 3 floats
        ``qoffset_x, y, z``.
    version : int
        1 or 2: in whose precision `quaternion` was stored.

    Raises
    ------
    ValueError
        If the quaternion is longer than 1.
    """
    steps = np.diag([spacing[0], spacing[1], spacing[2] * qfac])
    out = np.eye(4)
    out[:3, :3] = np.dot(_rotation(quaternion, 3 * _EPSILON[version]), steps)
    out[:3, 3] = offset
    return out


def make_base_affine(dims: Sequence[int], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return the affine of a header without forms: the origin in the middle, x running to the left, as in ANALYZE 7.5.

    Parameters
    ----------
    dims, spacing : sequences of at least 1 number
        Of the axes there are, x first; a missing one has 1 voxel of length 1.
    """
    n = min(3, len(dims))
    steps, middle = np.ones(3), np.zeros(3)
    steps[:n] = spacing[:n]
    steps[0] *= -1
    middle[:n] = (np.asarray(dims[:n]) - 1) / 2.0
    out = np.eye(4)
    out[:3, :3] = np.diag(steps)
    out[:3, 3] = -middle * steps
    return out


def _rotation(quaternion: Sequence[float], tolerance: float) -> NDArray[Any]:
    """Return the 3x3 rotation of (a, b, c, d), of which `quaternion` are the last three.

    Near a half turn a is the root of a small difference, so all is computed in the longest float there is.
    """
    bcd = np.asarray(quaternion, dtype=np.longdouble)
    rest = 1.0 - bcd @ bcd
    is_half_turn = abs(rest) < tolerance
    if rest < 0 and not is_half_turn:
        raise ValueError("a quaternion longer than 1")
    whole = np.array([0.0 if is_half_turn else np.sqrt(rest), *bcd])
    a, b, c, d = whole
    # p[i, j] is twice the product of two parts of the quaternion at length 1.
    p = np.outer(whole, whole * (2.0 / (a * a + b * b + c * c + d * d)))
    return np.array(
        [
            [1.0 - (p[2, 2] + p[3, 3]), p[1, 2] - p[0, 3], p[1, 3] + p[0, 2]],
            [p[1, 2] + p[0, 3], 1.0 - (p[1, 1] + p[3, 3]), p[2, 3] - p[0, 1]],
            [p[1, 3] - p[0, 2], p[2, 3] + p[0, 1], 1.0 - (p[1, 1] + p[2, 2])],
        ]
    )

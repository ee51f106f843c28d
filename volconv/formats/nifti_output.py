"""The header of a NIfTI output: its axes, and both forms moved to where the output's voxels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..volume import OutputInfo
from .nifti_axes import turn, turn_affine, turn_map
from .nifti_extension import make_extension
from .nifti_fields import HEADER_BYTES, empty_header
from .nifti_forms import make_qform
from .nifti_header import DATATYPES, INTENT_LABEL, NiftiHeader

_LARGEST_DIM = {1: 2**15 - 1, 2: 2**63 - 1}
_MILLIMETRE = 2
ALIGNED = 2  # NIFTI_XFORM_ALIGNED_ANAT
_INTENT_VECTOR = 1007


@dataclass(frozen=True)
class Forms:
    """What a header says about place, in the file's units.

    Attributes
    ----------
    spacing, qoffset, quaternion : tuple of 3 floats
    qfac : float
        1 or -1.
    qform_code, sform_code, units : int
    srow : (3, 4) float64 array
    """

    spacing: tuple[float, ...]
    units: int
    qfac: float = 1.0
    qform_code: int = 0
    quaternion: tuple[float, ...] = (0.0, 0.0, 0.0)
    qoffset: tuple[float, ...] = (0.0, 0.0, 0.0)
    sform_code: int = 0
    srow: NDArray[np.float64] | None = None


def output_dims(info: OutputInfo, layout: str) -> tuple[int, ...]:
    """Return the axes of the file, x first; the batch's volumes lie next to each other, channels behind."""
    ijk = turn(info.shape, info.origin.axes)
    if info.channels == 1:
        return ijk if info.batch == 1 else (*ijk, info.batch)
    if info.batch == 1 and layout == "4d":
        return (*ijk, info.channels)
    return (*ijk, info.batch, info.channels)


def check_storable(info: OutputInfo, name: str) -> None:
    """Raise `UsageError` for a type NIfTI does not have."""
    if info.dtype.name not in DATATYPES.values():
        raise UsageError(
            f"NIfTI cannot hold {info.dtype}, only {', '.join(DATATYPES.values())}", code="output.format", file=name
        )


def make_header(info: OutputInfo, layout: str, single: bool) -> bytes:
    """Return all bytes before the voxels of a single file, or the whole ``.hdr`` of a pair.

    NIfTI-2 where an axis is too long for NIfTI-1 or the source was NIfTI-2. The bytes depend on `info` and `layout`
    alone.
    """
    source = info.origin.meta.get("nifti")
    dims = output_dims(info, layout)
    version = 2 if max(dims) > _LARGEST_DIM[1] or (source is not None and source.version == 2) else 1
    raw = empty_header(version, single)
    extension = make_extension(info.record)
    raw["dim"] = [len(dims), *dims, *[1] * (7 - len(dims))]
    raw["datatype"] = next(code for code, name in DATATYPES.items() if name == info.dtype.name)
    raw["bitpix"] = 8 * info.dtype.itemsize
    raw["vox_offset"] = HEADER_BYTES[version] + len(extension) if single else 0
    raw["scl_slope"], raw["scl_inter"] = 1, 0
    raw["intent_code"] = _intent(info, layout)
    forms = make_forms(info)
    raw["pixdim"] = [forms.qfac, *forms.spacing, 1, 1, 1, 1]
    if source is None:
        raw["descrip"] = b"volconv"
    else:
        raw["descrip"] = source.descrip
        if dims[3:4] == source.dims[3:4] != (1,) and len(dims) > 3:  # the same times, or what was read as channels
            raw["pixdim"][4], raw["toffset"] = source.pixdim[4], source.toffset
    _put_forms(raw, forms)
    return raw.tobytes() + extension


def make_forms(info: OutputInfo) -> Forms:
    """Return the forms of the output: those of the source times the voxel map, in the file's own axes."""
    source = info.origin.meta.get("nifti")
    if source is None:
        return _forms_of_geometry(info)
    voxel_map = turn_map(info.voxel_map, info.origin.axes)
    moved = not (info.voxel_map.is_identity and info.shape == info.origin.shape)
    sform = np.array(source.srow).reshape(3, 4) if source.sform_code > 0 else None
    sform_code, qoffset = source.sform_code, source.qoffset
    if not info.voxel_map.is_identity:  # a product with the identity would still lose the sign of zeros
        sform = None if sform is None else sform @ voxel_map
        qoffset = (qform_of(source) @ voxel_map)[:3, 3] if source.qform_code > 0 else qoffset
    if moved and not source.sform_code and not source.qform_code and source.affine is not None:
        sform, sform_code = (source.affine @ voxel_map)[:3], ALIGNED
    signs = [1 if m > 0 else -1 for m in np.diag(voxel_map)[:3]]
    return Forms(
        spacing=tuple(s * abs(m) for s, m in zip(_spacing(source), np.diag(voxel_map)[:3], strict=True)),
        units=source.units,
        qfac=source.pixdim[0] * prod(signs),
        qform_code=source.qform_code,
        quaternion=turn_round(source.quaternion, signs),
        qoffset=tuple(qoffset),
        sform_code=sform_code,
        srow=sform,
    )


def turn_round(quaternion: tuple[float, ...], signs: Sequence[int]) -> tuple[float, ...]:
    """Return the quaternion (b, c, d) of a grid of which the axes whose sign is -1 run the other way.

    A qform is ``R·diag(1, 1, qfac)·spacing``, so that ``qfac`` takes the product of the signs, and the rotation R is
    followed by that of ``diag(s_i, s_j, s_i·s_j)``: a half turn about k, j or i, which multiplies the quaternion by
    the unit of that name (https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields, method 2).
    """
    b, c, d = quaternion
    a = sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    if signs[0] == signs[1] == 1:
        return quaternion
    if signs[0] == signs[1]:
        turned = (-d, c, -b, a)
    elif signs[0] == -1:
        turned = (-c, -d, a, b)
    else:
        turned = (-b, a, d, -c)
    return turned[1:] if turned[0] >= 0 else tuple(-part for part in turned[1:])


def _forms_of_geometry(info: OutputInfo) -> Forms:
    """Return the forms for a source that was no NIfTI: its affine as sform, or nothing."""
    affine = info.geometry.affine
    if affine is None:
        return Forms(spacing=(1.0, 1.0, 1.0), units=0)
    sform = turn_affine(affine, info.origin.axes)
    spacing = np.sqrt((sform[:3, :3] ** 2).sum(axis=0))
    return Forms(spacing=tuple(spacing), units=_MILLIMETRE, sform_code=ALIGNED, srow=sform[:3])


def _spacing(source: NiftiHeader) -> tuple[float, ...]:
    """Return the source's spacing; with a qform, 0 means 1 as everywhere."""
    spacing = source.pixdim[1:4]
    return tuple(s or 1.0 for s in spacing) if source.qform_code > 0 else spacing


def qform_of(source: NiftiHeader) -> NDArray[np.float64]:
    """Return the affine of the qform over (i, j, k), in the file's units."""
    return make_qform(_spacing(source), source.pixdim[0], source.quaternion, source.qoffset, source.version)


def _put_forms(raw: Any, forms: Forms) -> None:
    raw["xyzt_units"] = forms.units
    raw["qform_code"], raw["sform_code"] = forms.qform_code, forms.sform_code
    raw["quatern_b"], raw["quatern_c"], raw["quatern_d"] = forms.quaternion
    raw["qoffset_x"], raw["qoffset_y"], raw["qoffset_z"] = forms.qoffset
    if forms.srow is not None:
        raw["srow_x"], raw["srow_y"], raw["srow_z"] = forms.srow


def _intent(info: OutputInfo, layout: str) -> int:
    if info.labels:
        return INTENT_LABEL
    return _INTENT_VECTOR if layout == "vector" and info.channels > 1 else 0

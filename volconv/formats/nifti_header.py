"""A NIfTI header, checked field by field before anything is believed, and where its affine says the voxels lie.

The checks are our own, for readers differ in what they let pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan, prod
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from .nifti_fields import END_OF_LINE, HEADER_BYTES, header_fields
from .nifti_forms import make_base_affine, make_qform, make_sform

SINGLE_OFFSET = {1: 352, 2: 544}
LONGEST_HEADER = HEADER_BYTES[2]
UNIT_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres in the spatial units of `xyzt_units`: metre, millimetre, micrometre."""

INTENT_LABEL = 1002
"""The intent code of values that are labels."""

DATATYPES = {
    2: "uint8",
    4: "int16",
    8: "int32",
    16: "float32",
    64: "float64",
    256: "int8",
    512: "uint16",
    768: "uint32",
    1024: "int64",
    1280: "uint64",
}
_REFUSED = {
    1: "1-bit", 32: "complex64", 128: "RGB", 1536: "float128", 1792: "complex128", 2048: "complex256", 2304: "RGBA",
}  # fmt: skip
_MAGIC = {b"n+1\0": (1, True), b"ni1\0": (1, False), b"n+2\0": (2, True), b"ni2\0": (2, False)}
_FOREIGN = {
    b"\x89HDF": "an HDF5 file (name it .h5)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"PK\x03\x04": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"NRRD": "an NRRD file",
    b"CDF": "a MINC-1 file",
    b"\x00\x00\x00\x01": "perhaps an MGH file",
}
_SMALLEST_VOLUME = 1e-6
"""Of the parallelepiped spanned by the affine's columns at length 1; a cube has 1."""
_FORMS_APART = 0.01
"""In voxels: float32 forms that mean the same agree far better."""


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """A header that passed every check.

    Attributes
    ----------
    version : int
        1 or 2.
    single : bool
        Whether the voxels are in the same file.
    byte_order : str
        ``<`` or ``>``.
    dims : tuple of int
        Of the axes that `dim[0]` counts, x first.
    dtype : numpy dtype
        Of the stored values, in the file's byte order.
    offset : int
        Byte at which the voxels start.
    slope, intercept : float
        value = stored · slope + intercept; 1 and 0 where the header says none.
    pixdim : tuple of 8 floats
        As in the file; `pixdim[0]` is 1 or -1, `pixdim[1:4]` not negative.
    qform_code, sform_code : int
        0 where the form is not in use.
    quaternion, qoffset : tuple of 3 floats
        ``quatern_b, c, d`` and ``qoffset_x, y, z``.
    srow : tuple of 12 floats
        ``srow_x``, ``srow_y``, ``srow_z``.
    units : int
        ``xyzt_units``.
    toffset : float
        Start of the time axis.
    intent_code : int
    descrip : bytes
        Without trailing NULs.
    affine : (4, 4) float64 array or None
        In force: maps (i, j, k) to the file's units; None where neither a form nor `pixdim` says it.
    remarks : tuple of str
        What is odd about the header but stops nothing.
    """

    version: int
    single: bool
    byte_order: str
    dims: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    pixdim: tuple[float, ...]
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    qoffset: tuple[float, ...]
    srow: tuple[float, ...]
    units: int
    toffset: float
    intent_code: int
    descrip: bytes
    affine: NDArray[np.float64] | None
    remarks: tuple[str, ...] = ()

    @property
    def voxel_bytes(self) -> int:
        """Bytes of all voxels; a Python int, which cannot wrap."""
        return prod(self.dims) * self.dtype.itemsize

    @property
    def unit_mm(self) -> float:
        """Millimetres in a unit of the affine; 1 where the header does not say."""
        return UNIT_MM.get(self.units & 7, 1.0)

    @property
    def affine_mm(self) -> NDArray[np.float64] | None:
        """The affine in force, from (i, j, k) to millimetres."""
        if self.affine is None:
            return None
        return np.diag([self.unit_mm] * 3 + [1.0]) @ self.affine


def load_header(start: bytes, name: str) -> NiftiHeader:
    """Return the header that the first bytes of a file hold.

    Parameters
    ----------
    start : bytes
        The first `LONGEST_HEADER` bytes, or all there are.
    name : str
        The file's name, for messages.

    Raises
    ------
    FormatError
        Naming the field that is wrong.
    """
    with np.errstate(all="ignore"):  # numbers a hostile header holds overflow; what comes out is checked
        return _Gate(start, name).load()


class _Gate:
    """Checks one header; holds what every check needs."""

    def __init__(self, start: bytes, name: str) -> None:
        self.start = start
        self.name = name
        self.remarks: list[str] = []

    def load(self) -> NiftiHeader:
        version, single, byte_order = self.check_signature()
        raw = header_fields(self.start, version, byte_order)
        dims = self.check_dims(raw)
        dtype = self.check_datatype(raw).newbyteorder(byte_order)
        offset = self.check_offset(raw, version, single)
        slope, intercept = self.check_scaling(raw)
        pixdim = self.check_pixdim(raw, len(dims))
        affine = self.check_affine(raw, version)
        return NiftiHeader(
            version=version,
            single=single,
            byte_order=byte_order,
            dims=dims,
            dtype=dtype,
            offset=offset,
            slope=slope,
            intercept=intercept,
            pixdim=pixdim,
            qform_code=max(0, int(raw["qform_code"])),
            sform_code=max(0, int(raw["sform_code"])),
            quaternion=_finite(raw["quatern_b"], raw["quatern_c"], raw["quatern_d"]),
            qoffset=_finite(raw["qoffset_x"], raw["qoffset_y"], raw["qoffset_z"]),
            srow=_finite(*raw["srow_x"], *raw["srow_y"], *raw["srow_z"]),
            units=int(raw["xyzt_units"]) & 0xFF,
            toffset=_finite(raw["toffset"])[0],
            intent_code=int(raw["intent_code"]),
            descrip=bytes(raw["descrip"].item()),
            affine=affine,
            remarks=tuple(self.remarks),
        )

    def fail(self, where: str, found: object, expected: str, *, code: str) -> NoReturn:
        raise FormatError(f"found {found}, expected {expected}", code=code, file=self.name, where=where)

    def check_signature(self) -> tuple[int, bool, Literal["<", ">"]]:
        """Return version, whether single, and the byte order (``<`` or ``>``)."""
        start = self.start
        byte_orders: dict[int, Literal["<", ">"]] = {
            int.from_bytes(start[:4], "little"): "<",
            int.from_bytes(start[:4], "big"): ">",
        }
        version = next((v for v, size in HEADER_BYTES.items() if size in byte_orders), 0)
        magic = _magic(start)
        if not version:
            if magic in _MAGIC and len(start) >= HEADER_BYTES[1]:
                size = int.from_bytes(start[:4], "little")
                self.fail(
                    "sizeof_hdr",
                    size,
                    f"{HEADER_BYTES[_MAGIC[magic][0]]} in either byte order",
                    code="nifti.sizeof_hdr",
                )
            raise FormatError(f"not a NIfTI file: {_describe(start)}", code="nifti.signature", file=self.name)
        wanted = HEADER_BYTES[version]
        if len(start) < wanted:
            raise FormatError(
                f"the header is cut short: found {len(start)} bytes, expected {wanted}",
                code="nifti.header_truncated",
                file=self.name,
            )
        magic = start[344:348] if version == 1 else start[4:8]
        if magic not in _MAGIC or _MAGIC[magic][0] != version:
            if version == 1 and not any(magic):
                message = "no NIfTI magic, so this is ANALYZE 7.5 at best, which does not say how the voxels lie"
                raise FormatError(f"{message}; convert it to NIfTI", code="nifti.magic", file=self.name, where="magic")
            self.fail(
                "magic", magic, " or ".join(repr(m) for m, (v, _) in _MAGIC.items() if v == version), code="nifti.magic"
            )
        if version == 2 and start[8:12] != END_OF_LINE:
            self.fail("magic", start[4:12], f"{magic + END_OF_LINE!r} (a copy as text damages it)", code="nifti.magic")
        return version, _MAGIC[magic][1], byte_orders[wanted]

    def check_dims(self, raw: Any) -> tuple[int, ...]:
        dim = [int(n) for n in raw["dim"]]
        if not 1 <= dim[0] <= 7:
            self.fail("dim[0]", dim[0], "1 to 7 axes", code="nifti.dim")
        for axis in range(1, dim[0] + 1):
            if dim[axis] < 1:
                self.fail(f"dim[{axis}]", dim[axis], "at least 1 voxel", code="nifti.dim")
        return tuple(dim[1 : dim[0] + 1])

    def check_datatype(self, raw: Any) -> np.dtype[Any]:
        code = int(raw["datatype"])
        if code not in DATATYPES:
            kind = _REFUSED.get(code, "unknown")
            self.fail(
                "datatype",
                f"code {code} ({kind})",
                f"a real type of whole bytes: {', '.join(DATATYPES.values())}",
                code="nifti.datatype",
            )
        return np.dtype(DATATYPES[code])

    def check_offset(self, raw: Any, version: int, single: bool) -> int:
        value = raw["vox_offset"].item()
        if not isfinite(value) or value != int(value) or not 0 <= value < 2**63:
            self.fail("vox_offset", value, "a whole number of bytes, not negative", code="nifti.vox_offset")
        # nifti1.h: less than 352 in a .nii means 352; voxels never start inside the header.
        return max(int(value), SINGLE_OFFSET[version]) if single else int(value)

    def check_scaling(self, raw: Any) -> tuple[float, float]:
        slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
        if slope == 0 or isnan(slope):
            return 1.0, 0.0
        if not isfinite(slope):
            self.fail("scl_slope", slope, "a finite number", code="nifti.scaling")
        if not isfinite(intercept):
            self.fail("scl_inter", intercept, "a finite number", code="nifti.scaling")
        return slope, intercept

    def check_pixdim(self, raw: Any, ndim: int) -> tuple[float, ...]:
        """Return the grid spacings; signs as nibabel mends them, in `raw` too."""
        pixdim = raw["pixdim"]
        for axis in range(1, min(ndim, 3) + 1):
            if not isfinite(pixdim[axis]):
                self.fail(f"pixdim[{axis}]", pixdim[axis], "a finite length", code="nifti.pixdim")
        for axis in range(1, 8):
            if axis > ndim and not isfinite(pixdim[axis]):
                pixdim[axis] = 0
        pixdim[1:4] = np.abs(pixdim[1:4])
        pixdim[0] = -1 if pixdim[0] == -1 else 1
        return _finite(*pixdim)

    def check_affine(self, raw: Any, version: int) -> NDArray[np.float64] | None:
        """Return the affine in force: sform, else qform, else pixdim. A code of a form that is of no use becomes 0."""
        sform = self.read_sform(raw) if raw["sform_code"] > 0 else None
        qform = self.read_qform(raw, version, needed=sform is None) if raw["qform_code"] > 0 else None
        if qform is None:
            raw["qform_code"] = 0
        if sform is not None:
            self.check_invertible(sform, "srow")
            self.remark_disagreement(raw, sform, qform)
            return sform
        if qform is not None:
            self.check_invertible(qform, "pixdim")
            return qform
        raw["sform_code"] = 0
        ndim = min(3, int(raw["dim"][0]))
        if (raw["pixdim"][1 : ndim + 1] == 0).any():
            return None
        affine = make_base_affine(raw["dim"][1 : ndim + 1], raw["pixdim"][1 : ndim + 1])
        self.check_invertible(affine, "pixdim")
        return affine

    def read_sform(self, raw: Any) -> NDArray[np.float64]:
        for row in ("srow_x", "srow_y", "srow_z"):
            if not np.isfinite(raw[row]).all():
                self.fail(row, raw[row].tolist(), "finite numbers", code="nifti.sform")
        return make_sform([raw["srow_x"], raw["srow_y"], raw["srow_z"]])

    def read_qform(self, raw: Any, version: int, needed: bool) -> NDArray[np.float64] | None:
        """Return the qform; a damaged one is an error only where it is needed."""
        fields = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
        wrong = next((field for field in fields if not isfinite(raw[field])), None)
        values = [float(raw[field]) for field in fields]
        # nifti1_io and nibabel both take a spacing of 0 for 1 here.
        spacing = [float(s) or 1.0 for s in raw["pixdim"][1:4]]
        try:
            if wrong is None:
                return make_qform(spacing, float(raw["pixdim"][0]), values[:3], values[3:], version)
        except ValueError:
            wrong = "quatern"
        if needed and wrong != "quatern":
            self.fail(wrong, float(raw[wrong]), "a finite number", code="nifti.qform")
        if needed:
            self.fail(
                wrong,
                [float(raw[f"quatern_{x}"]) for x in "bcd"],
                "a unit quaternion, squares of at most 1 in all",
                code="nifti.qform",
            )
        self.remarks.append(f"{wrong} is damaged, so the qform is left out; the sform says where the voxels lie")
        return None

    def remark_disagreement(self, raw: Any, sform: NDArray[np.float64], qform: NDArray[np.float64] | None) -> None:
        if qform is None:
            return
        last = [int(n) - 1 for n in raw["dim"][1:4]]
        corners = np.array([[a * last[0], b * last[1], c * last[2], 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
        apart = float(np.abs((sform - qform) @ corners.T).max())
        if apart > _FORMS_APART * float(np.sqrt((sform[:3, :3] ** 2).sum(axis=0)).min()):
            self.remarks.append(f"sform and qform place voxels up to {apart:.3g} units apart; the sform is used")

    def check_invertible(self, affine: NDArray[np.float64], where: str) -> None:
        """Raise where voxels of the grid fall onto each other."""
        norms = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        spans = bool(np.isfinite([*norms, *affine[:3, 3]]).all() and (norms > 0).all())
        if not spans or abs(np.linalg.det(affine[:3, :3] / norms)) < _SMALLEST_VOLUME:
            self.fail(where, affine[:3, :3].tolist(), "three axes that span a volume", code="nifti.affine")


def _finite(*values: Any) -> tuple[float, ...]:
    """Return the numbers as floats; one that is not finite stands in a field not in use and becomes 0."""
    return tuple(float(v) if isfinite(v) else 0.0 for v in values)


def _magic(start: bytes) -> bytes:
    """Return the magic of either version, wherever it stands."""
    return start[4:8] if start[4:8] in _MAGIC and _MAGIC[start[4:8]][0] == 2 else start[344:348]


def _describe(start: bytes) -> str:
    if not start:
        return "found an empty file"
    for magic, kind in _FOREIGN.items():
        if start.startswith(magic):
            return f"found {kind}"
    if start[128:132] == b"DICM":
        return "found a DICOM file"
    return f"found first bytes {start[:8].hex(' ')}, expected a header of 348 or 540 bytes"

"""Where each field of a NIfTI header stands and of what type it is. Knows no meaning and checks nothing.

NIfTI-1: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h, NIfTI-2: nifti2.h beside it. Nibabel has these
tables too, and takes a tenth of a second to load with all the formats it knows beside them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = {1: 348, 2: 540}
END_OF_LINE = b"\r\n\x1a\n"
"""Behind the magic of NIfTI-2, so that a copy as text shows."""

# Type and first byte in NIfTI-1, then in NIfTI-2; fields that stay zero in what is written and unread are left out.
_FIELDS = {
    "sizeof_hdr": ("i4", 0, "i4", 0),
    "dim": ("8i2", 40, "8i8", 16),
    "intent_code": ("i2", 68, "i4", 504),
    "datatype": ("i2", 70, "i2", 12),
    "bitpix": ("i2", 72, "i2", 14),
    "pixdim": ("8f4", 76, "8f8", 104),
    "vox_offset": ("f4", 108, "i8", 168),
    "scl_slope": ("f4", 112, "f8", 176),
    "scl_inter": ("f4", 116, "f8", 184),
    "xyzt_units": ("u1", 123, "i4", 500),
    "toffset": ("f4", 136, "f8", 216),
    "descrip": ("S80", 148, "S80", 240),
    "qform_code": ("i2", 252, "i4", 344),
    "sform_code": ("i2", 254, "i4", 348),
    "quatern_b": ("f4", 256, "f8", 352),
    "quatern_c": ("f4", 260, "f8", 360),
    "quatern_d": ("f4", 264, "f8", 368),
    "qoffset_x": ("f4", 268, "f8", 376),
    "qoffset_y": ("f4", 272, "f8", 384),
    "qoffset_z": ("f4", 276, "f8", 392),
    "srow_x": ("4f4", 280, "4f8", 400),
    "srow_y": ("4f4", 296, "4f8", 432),
    "srow_z": ("4f4", 312, "4f8", 464),
    "magic": ("S4", 344, "S8", 4),
}


def header_fields(start: bytes, version: int, byte_order: Literal["<", ">"]) -> NDArray[Any]:
    """Return the header in the first bytes of a file, a copy, as a structured array of no axes."""
    block = bytearray(start[: HEADER_BYTES[version]])
    return np.ndarray((), _layout(version).newbyteorder(byte_order), buffer=block)


def empty_header(version: int, single: bool) -> NDArray[Any]:
    """Return a little-endian header that holds its own size and the magic, and zeros."""
    out = np.zeros((), _layout(version).newbyteorder("<"))
    out["sizeof_hdr"] = HEADER_BYTES[version]
    out["magic"] = b"%s%d\0%s" % (b"n+" if single else b"ni", version, END_OF_LINE if version == 2 else b"")
    return out


def _layout(version: int) -> np.dtype[Any]:
    fields = [(a, i) if version == 1 else (b, j) for a, i, b, j in _FIELDS.values()]
    return np.dtype(
        {
            "names": list(_FIELDS),
            "formats": [kind for kind, _ in fields],
            "offsets": [first for _, first in fields],
            "itemsize": HEADER_BYTES[version],
        }
    )

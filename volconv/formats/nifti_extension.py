"""The comments a NIfTI file carries behind its header (extension code 6): how the record travels.

Layout: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields/nifti1fields_pages/extension.html
"""

from __future__ import annotations

import struct
from pathlib import Path

from ..errors import FormatError
from .nifti_fields import HEADER_BYTES
from .nifti_files import open_files, read_header, read_start

COMMENT = 6
_ALIGNMENT = 16
_ENTRY = 8
_FLAG = 4
_LONGEST = 1 << 26


def make_extension(text: str) -> bytes:
    """Return the extender flag and, unless `text` is empty, one comment that holds it."""
    if not text:
        return bytes(_FLAG)
    content = text.encode("utf-8", "surrogateescape")
    size = -(-(_ENTRY + len(content)) // _ALIGNMENT) * _ALIGNMENT
    return b"\1\0\0\0" + struct.pack("<ii", size, COMMENT) + content.ljust(size - _ENTRY, b"\0")


def read_comments(path: Path) -> list[str]:
    """Return the text of every comment in the file at `path`, in order.

    Raises
    ------
    MissingFileError
        If the file cannot be opened.
    FormatError
        If its header is damaged.
    """
    files = open_files(path)
    try:
        header = read_header(files[0], single=len(files) == 1)
        end = min(header.offset, _LONGEST) if header.single else _LONGEST
        start = read_start(files[0], end)
    finally:
        for file in files:
            file.close()
    at = HEADER_BYTES[header.version]
    if start[at : at + 1] in (b"", b"\0"):
        return []
    return list(_texts(start[at + _FLAG :], header.byte_order, str(path)))


def _texts(entries: bytes, byte_order: str, name: str) -> list[str]:
    found: list[str] = []
    at = 0
    while at + _ENTRY <= len(entries):
        size, code = struct.unpack_from(f"{byte_order}ii", entries, at)
        if size < _ENTRY or at + size > len(entries):
            message = (
                f"found {size} bytes, expected at least {_ENTRY} and no more than the {len(entries) - at} there are"
            )
            raise FormatError(message, code="nifti.extension", file=name, where="extension esize")
        if code == COMMENT:
            found.append(entries[at + _ENTRY : at + size].rstrip(b"\0").decode("utf-8", "replace"))
        at += size
    return found

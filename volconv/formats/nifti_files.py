"""Which files a NIfTI name means, and what stands at their beginning, gzipped or not. Knows no voxels."""

from __future__ import annotations

from pathlib import Path

from ..errors import FormatError
from .gzip_stream import MAGIC, GzipReader
from .input_file import InputFile
from .names import parse_volume_name
from .nifti_header import LONGEST_HEADER, NiftiHeader, load_header


def open_files(path: Path) -> list[InputFile]:
    """Return the open file `path`, or header and voxel file of the pair it belongs to, in this order.

    Raises
    ------
    MissingFileError
        If `path` cannot be opened.
    FormatError
        If the other half of a pair is missing.
    """
    named = InputFile(path)
    suffix = parse_volume_name(path).suffix
    if suffix.startswith(".nii"):
        return [named]
    is_header = suffix.startswith(".hdr")
    stem, other = path.name[: -len(suffix)], ".img" if is_header else ".hdr"
    endings = (other, other + ".gz") if suffix in (".hdr", ".img") else (other + ".gz", other)
    for ending in (*endings, *(e.upper() for e in endings)):
        partner = path.with_name(stem + ending)
        if partner.is_file():
            try:
                found = InputFile(partner)
            except BaseException:
                named.close()
                raise
            return [named, found] if is_header else [found, named]
    named.close()
    what = "voxels are" if is_header else "header is"
    raise FormatError(
        f"the pair's {what} missing: expected {path.with_name(stem + endings[0])}", code="nifti.pair", file=str(path)
    )


def is_gzip(file: InputFile) -> bool:
    """Whether the content is gzip, whatever the name says."""
    return file.read(0, len(MAGIC)) == MAGIC


def read_start(file: InputFile, count: int) -> bytes:
    """Return the first `count` bytes of the content, unpacked; fewer where there are no more."""
    if not is_gzip(file):
        return file.read(0, count)
    stream, start = GzipReader(file), b""
    while part := stream.read(count - len(start)):
        start += part
    return start


def read_header(file: InputFile, single: bool) -> NiftiHeader:
    """Return the header of `file`; `single` says whether the voxels should be in the same file."""
    header = load_header(read_start(file, LONGEST_HEADER), file.name)
    if header.single != single:
        if single:
            message = "the header belongs to a pair, whose voxels are in an .img; name the file .hdr, beside its .img"
        else:
            message = "the header says that the voxels follow it; name the file .nii"
        raise FormatError(message, code="nifti.pair", file=file.name, where="magic")
    return header

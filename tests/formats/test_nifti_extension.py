"""Comments behind the header, held against nibabel."""

import gzip
import struct

import nibabel as nib
import pytest

from volconv.errors import FormatError
from volconv.formats.nifti_extension import make_extension, read_comments


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 24, 25, 100_000])
def test_nibabel_reads_ours(tmp_path, length):
    text = "x" * length
    block = make_extension(text)
    header = nib.Nifti1Header()
    header.set_data_shape((1, 1, 1))
    header.set_data_dtype("uint8")
    header["vox_offset"] = 348 + len(block)
    path = tmp_path / "scan.nii"
    path.write_bytes(bytes(header.binaryblock) + block + b"\0")
    extensions = nib.load(path).header.extensions
    assert [(e.get_code(), e.get_content()) for e in extensions] == ([(6, text.encode())] if text else [])
    assert read_comments(path) == ([text] if text else [])


@pytest.mark.parametrize("size", [0, 7, -16, 2**31 - 1, 4096])
def test_sizes_of_extensions_that_cannot_be(tmp_path, size):
    header = nib.Nifti1Header()
    header.set_data_shape((1, 1, 1))
    header.set_data_dtype("uint8")
    header["vox_offset"] = 352 + 32
    block = bytes(header.binaryblock) + b"\1\0\0\0" + struct.pack("<ii", size, 6) + bytes(24) + b"\0"
    for name, content in (("scan.nii", block), ("scan.nii.gz", gzip.compress(block))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match="esize"):
            read_comments(tmp_path / name)

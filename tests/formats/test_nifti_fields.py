"""The table of fields, held against nibabel's."""

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

from volconv.formats.nifti_fields import END_OF_LINE, HEADER_BYTES, empty_header, header_fields

KINDS = {
    (1, True): Nifti1Header,
    (1, False): Nifti1PairHeader,
    (2, True): Nifti2Header,
    (2, False): Nifti2PairHeader,
}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_every_field_stands_where_nibabel_has_it(version, byte_order):
    block = np.random.default_rng(version).bytes(HEADER_BYTES[version])
    ours = header_fields(block, version, byte_order)
    theirs = KINDS[version, True](block, byte_order, check=False)
    assert ours.dtype.itemsize == theirs.template_dtype.itemsize
    for name in ours.dtype.names:
        found = ours[name].tobytes()
        if name == "magic":
            found = found[:4]
        assert (name, found) == (name, theirs[name].tobytes())


def test_a_header_read_may_be_changed():
    block = bytes(HEADER_BYTES[1])
    raw = header_fields(block, 1, "<")
    raw["pixdim"][1] = 3
    assert block == bytes(HEADER_BYTES[1])
    assert header_fields(raw.tobytes(), 1, "<")["pixdim"][1] == 3


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("single", [True, False])
def test_an_empty_header_says_what_it_is(version, single):
    theirs = KINDS[version, single](endianness="<")
    for name in ("dim", "pixdim", "datatype", "bitpix", "scl_slope", "vox_offset"):
        theirs[name] = 0
    assert empty_header(version, single).tobytes() == theirs.binaryblock
    assert (END_OF_LINE in theirs.binaryblock) == (version == 2)

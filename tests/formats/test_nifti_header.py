"""The header gate: every fault names its field, and what passes means what nibabel says."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header

from volconv.errors import FormatError
from volconv.formats.nifti_fields import HEADER_BYTES
from volconv.formats.nifti_header import load_header

KINDS = {1: Nifti1Header, 2: Nifti2Header}


def make_raw(version=1, byte_order="<", shape=(5, 6, 7), dtype="int16"):
    raw = KINDS[version](endianness=byte_order)
    raw.set_data_shape(shape)
    raw.set_data_dtype(dtype)
    raw["vox_offset"] = 352 if version == 1 else 544
    raw["pixdim"][:4] = [1, 2, 3, 4]
    return raw


def load(raw, **fields):
    for name, value in fields.items():
        raw[name] = value
    return load_header(bytes(raw.binaryblock), "scan.nii")


def fault(raw, **fields):
    with pytest.raises(FormatError) as caught:
        load(raw, **fields)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("scan.nii")
    return caught.value


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_both_versions_in_both_byte_orders(version, byte_order):
    raw = make_raw(version, byte_order)
    raw["descrip"] = b"a scan"
    header = load(raw, scl_slope=0.5, scl_inter=-3, xyzt_units=10, intent_code=1002, toffset=2.5)
    assert (header.version, header.single, header.byte_order) == (version, True, byte_order)
    assert header.dims == (5, 6, 7)
    assert header.dtype == np.dtype("int16").newbyteorder(byte_order)
    assert header.voxel_bytes == 5 * 6 * 7 * 2
    assert header.offset == (352 if version == 1 else 544)
    assert (header.slope, header.intercept) == (0.5, -3.0)
    assert (header.units, header.intent_code, header.toffset, header.descrip) == (10, 1002, 2.5, b"a scan")
    np.testing.assert_array_equal(header.affine, raw.get_best_affine())


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"", "empty"),
        (b"hello, this is a text " * 40, "68 65 6c 6c 6f"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "PNG"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5"),
        (bytes(600), "00 00 00 00"),
        (np.random.default_rng(0).bytes(600), "first bytes"),
        (b"\x5c", "5c"),
        (bytes(128) + b"DICM" + bytes(400), "DICOM"),
    ],
)
def test_what_is_no_nifti_is_called_so(start, found):
    with pytest.raises(FormatError, match="not a NIfTI file") as caught:
        load_header(start, "scan.nii")
    assert found in str(caught.value)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_header_cut_short(version, byte_order):
    block = bytes(make_raw(version, byte_order).binaryblock)
    for length in (4, 100, HEADER_BYTES[version] - 1):
        with pytest.raises(FormatError, match=f"found {length} bytes, expected {HEADER_BYTES[version]}"):
            load_header(block[:length], "scan.nii")


@pytest.mark.parametrize("size", [0, 347, 349, -1])
@pytest.mark.parametrize("version", [1, 2])
def test_sizeof_hdr(version, size):
    assert fault(make_raw(version), sizeof_hdr=size).where == "sizeof_hdr"


@pytest.mark.parametrize("magic", [b"n+2", b"abc", b"n+", b"nil"])
def test_magic(magic):
    assert fault(make_raw(), magic=magic).where == "magic"


def test_analyze_is_told_from_nifti():
    error = fault(make_raw(), magic=b"")
    assert error.where == "magic"
    assert "ANALYZE" in error.message


def test_nifti2_magic_that_went_through_a_text_copy():
    block = bytes(make_raw(2).binaryblock).replace(b"\r\n\x1a\n", b"\n\x1a\n\0")
    with pytest.raises(FormatError, match="text") as caught:
        load_header(block, "scan.nii")
    assert caught.value.where == "magic"


@pytest.mark.parametrize("count", [-1, 0, 8, 1792, 32767])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_number_of_axes(count, byte_order):
    raw = make_raw(byte_order=byte_order)
    raw["dim"][0] = count
    assert fault(raw).where == "dim[0]"


def test_axes_of_the_other_byte_order_are_refused():
    raw = make_raw()
    raw["dim"] = raw["dim"].byteswap()
    assert fault(raw).where == "dim[0]"


@pytest.mark.parametrize("lengths", [(0, 6, 7), (5, -6, 7), (-5, -6, 7), (5, 6, 0)])
def test_lengths_of_axes(lengths):
    raw = make_raw()
    raw["dim"][1:4] = lengths
    assert fault(raw).where == f"dim[{1 + next(i for i, n in enumerate(lengths) if n < 1)}]"


def test_axes_that_are_not_counted_do_not_matter():
    raw = make_raw()
    raw["dim"][4:] = [0, -3, 0, 0]
    assert load(raw).dims == (5, 6, 7)


def test_sizes_beyond_64_bits_do_not_wrap():
    raw = make_raw(2)
    raw["dim"] = [4, 2**40, 2**40, 2**40, 2**8, 1, 1, 1]
    assert load(raw).voxel_bytes == 2**129


@pytest.mark.parametrize("code", [0, 1, 32, 128, 1536, 1792, 2048, 2304, 3, -4])
def test_types_that_are_refused(code):
    error = fault(make_raw(), datatype=code)
    assert error.where == "datatype"
    assert f"code {code} " in error.message
    assert "float32" in error.message


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integer_types(name):
    assert load(make_raw(dtype=name)).dtype.newbyteorder("=") == np.dtype(name)


@pytest.mark.parametrize("offset", [np.nan, np.inf, -np.inf, 1e30, 352.5, 0.5, -1.0, -352.0])
def test_impossible_offsets(offset):
    assert fault(make_raw(), vox_offset=offset).where == "vox_offset"


@pytest.mark.parametrize(("offset", "meant"), [(0, 352), (1, 352), (348, 352), (352, 352), (353, 353), (4096, 4096)])
def test_voxels_never_start_inside_the_header(offset, meant):
    assert load(make_raw(), vox_offset=offset).offset == meant


def test_offsets_of_nifti2_and_of_pairs():
    assert load(make_raw(2), vox_offset=0).offset == 544
    assert fault(make_raw(2), vox_offset=-8).where == "vox_offset"
    pair = Nifti1PairHeader()
    pair.set_data_shape((2, 2, 2))
    assert load(pair, vox_offset=0).offset == 0
    assert not load(pair).single


@pytest.mark.parametrize(
    ("slope", "intercept", "meant"),
    [
        (0, 5, (1, 0)),
        (np.nan, 5, (1, 0)),
        (np.nan, np.nan, (1, 0)),
        (-2, 1, (-2, 1)),
        (2.0**-140, 0, (2.0**-140, 0)),
        (1, 0, (1, 0)),
    ],
)
def test_scaling(slope, intercept, meant):
    header = load(make_raw(), scl_slope=slope, scl_inter=intercept)
    assert (header.slope, header.intercept) == meant


@pytest.mark.parametrize(("slope", "intercept", "where"), [(np.inf, 0, "scl_slope"), (1, np.nan, "scl_inter"), (2, -np.inf, "scl_inter")])  # fmt: skip  # noqa: E501
def test_scaling_that_means_nothing(slope, intercept, where):
    assert fault(make_raw(), scl_slope=slope, scl_inter=intercept).where == where


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["srow_x", "srow_y", "srow_z"])
def test_sform_that_is_not_finite(field, bad):
    raw = make_raw()
    raw.set_sform(np.eye(4), 1)
    raw[field][1] = bad
    assert fault(raw).where == field


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"])
def test_qform_that_is_not_finite(field, bad):
    raw = make_raw()
    raw.set_qform(np.eye(4), 1)
    assert fault(raw, **{field: bad}).where == field


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_spacing_that_is_not_finite(axis):
    raw = make_raw()
    raw["pixdim"][axis] = np.nan
    assert fault(raw).where == f"pixdim[{axis}]"


def test_quaternion_longer_than_1():
    raw = make_raw()
    raw.set_qform(np.eye(4), 1)
    assert fault(raw, quatern_b=0.9, quatern_c=0.9).where == "quatern"


def test_a_damaged_qform_is_left_out_where_the_sform_holds():
    raw = make_raw()
    raw.set_sform(np.diag([2, 3, 4, 1]), 1)
    raw.set_qform(np.eye(4), 1)
    header = load(raw, quatern_b=0.9, quatern_c=0.9)
    assert header.qform_code == 0
    assert header.sform_code == 1
    assert "quatern" in header.remarks[0]


def test_forms_not_in_use_may_hold_anything():
    raw = make_raw()
    raw["srow_x"], raw["quatern_b"] = np.nan, np.inf
    header = load(raw)
    np.testing.assert_array_equal(header.affine, raw.get_base_affine())
    assert np.isfinite([*header.srow, *header.quaternion]).all()


@pytest.mark.parametrize("columns", [np.zeros((3, 3)), np.diag([1, 1, 0]), np.ones((3, 3))])
def test_an_affine_that_spans_no_volume(columns):
    raw = make_raw()
    affine = np.eye(4)
    affine[:3, :3] = columns
    raw["srow_x"], raw["srow_y"], raw["srow_z"] = affine[:3]
    assert fault(raw, sform_code=1).where == "srow"


def test_sform_comes_before_qform_before_pixdim():
    raw = make_raw()
    np.testing.assert_array_equal(load(raw).affine, raw.get_base_affine())
    q = nib.affines.from_matvec(np.diag([-2.0, 3, 4]), [1, 2, 3])
    raw.set_qform(q, 1)
    np.testing.assert_allclose(load(raw).affine, q)
    s = nib.affines.from_matvec(np.diag([2.0, -3, 4]), [4, 5, 6])
    raw.set_sform(s, 2)
    header = load(raw)
    np.testing.assert_array_equal(header.affine, s)
    assert (header.qform_code, header.sform_code) == (1, 2)
    assert "apart" in header.remarks[0]


def test_forms_that_agree_draw_no_remark():
    raw = make_raw(shape=(256, 256, 180))
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(0.1, 0.2, 0.3) * 0.7
    affine[:3, 3] = [-90.123, 126.5, 72.25]
    raw.set_qform(affine, 1)
    raw.set_sform(affine, 1)
    assert load(raw).remarks == ()


@pytest.mark.parametrize(("code", "mm"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (10, 1), (11, 0.001), (7, 1)])
def test_units_become_millimetres(code, mm):
    header = load(make_raw(), xyzt_units=code)
    np.testing.assert_allclose(header.affine_mm[:3], header.affine[:3] * mm)
    np.testing.assert_array_equal(header.affine_mm[3], [0, 0, 0, 1])


def test_unknown_spacing_is_unknown():
    raw = make_raw()
    raw["pixdim"][1:4] = 0
    assert load(raw).affine is None
    assert load(raw).affine_mm is None


@pytest.mark.parametrize("sizes", [(9,), (9, 8), (9, 8, 7), (9, 8, 7, 6), (9, 8, 7, 6, 5, 4, 3)])
def test_few_and_many_axes(sizes):
    raw = make_raw(shape=sizes)
    raw["pixdim"][1:4] = [2, 3, 4]
    header = load(raw)
    assert header.dims == sizes
    assert header.affine.shape == (4, 4)
    assert np.isfinite(header.affine).all()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_header_makes_anything_but_a_format_error(data):
    version = data.draw(st.sampled_from([1, 2]))
    raw = make_raw(version, data.draw(st.sampled_from("<>")))
    raw.set_qform(np.diag([2, 3, 4, 1]), data.draw(st.integers(0, 2)))
    raw.set_sform(np.diag([2, 3, 4, 1]), data.draw(st.integers(0, 2)))
    block = bytearray(raw.binaryblock)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(block) - 1))
        block[at] = data.draw(st.integers(0, 255))
    try:
        header = load_header(bytes(block), "scan.nii")
    except FormatError:
        return
    assert header.voxel_bytes > 0
    assert header.offset >= 0
    assert np.isfinite([header.slope, header.intercept, *header.pixdim, *header.srow]).all()
    assert header.affine is None or np.isfinite(header.affine).all()

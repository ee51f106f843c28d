"""Headers of outputs: where every voxel lies, and what of the source's header survives."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from volconv.errors import UsageError
from volconv.formats.nifti_axes import turn, turn_affine
from volconv.formats.nifti_header import load_header
from volconv.formats.nifti_output import check_storable, make_header, output_dims, turn_round
from volconv.geometry import IDENTITY, Geometry, VoxelMap
from volconv.volume import OutputInfo, VolumeInfo

SHAPE = (6, 7, 8)


def make_origin(raw, order="kji", shape=SHAPE):
    """The source that a header would make."""
    header = load_header(bytes(raw.binaryblock), "scan.nii")
    affine = None if header.affine_mm is None else turn_affine(header.affine_mm, order)
    return VolumeInfo(shape, 1, np.dtype("int16"), Geometry(affine, shape), axes=order, meta={"nifti": header})


def make_raw(version=1, order="kji", shape=SHAPE):
    raw = {1: Nifti1Header, 2: Nifti2Header}[version]()
    raw.set_data_shape(turn(shape, order))
    raw["vox_offset"] = 352 if version == 1 else 544
    raw["pixdim"][1:4] = [1.25, 2, 3]
    return raw


def output(origin, shape=SHAPE, voxel_map=IDENTITY, **fields):
    return OutputInfo(shape, fields.pop("channels", 1), np.dtype("float32"), origin, voxel_map, **fields)


def written(info, layout="4d", single=True):
    """The output's header as nibabel reads it."""
    block = make_header(info, layout, single)
    size = 540 if block[:2] == b"\x1c\x02" else 348
    kind = {348: Nifti1Header, 540: Nifti2Header}[size]
    return kind(block[:size])


def world(affine, corners):
    return (affine @ np.vstack([np.array(corners).T, np.ones(len(corners))]))[:3]


angles = st.floats(-3.1, 3.1)
lengths = st.floats(0.2, 8)
maps = st.builds(
    VoxelMap,
    st.tuples(*[st.sampled_from([1.0, 2.0, 3.0, 0.5, 1 / 3])] * 3),
    st.tuples(*[st.sampled_from([0.0, 0.5, -1.5, 4.0, -0.25])] * 3),
)


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(angles, angles, angles), st.tuples(lengths, lengths, lengths), st.booleans(),
    st.tuples(*[st.floats(-200, 200)] * 3), st.floats(-0.3, 0.3), maps,
    st.sampled_from(["kji", "ijk"]), st.sampled_from([1, 2]), st.sampled_from([1, 2, 3]),
)  # fmt: skip
def test_every_output_voxel_lies_where_the_map_says(turns, zooms, flip, shift, shear, voxel_map, order, version, units):
    rotation = nib.eulerangles.euler2mat(*turns)
    rigid = nib.affines.from_matvec(rotation @ np.diag([*zooms[:2], -zooms[2] if flip else zooms[2]]), shift)
    sheared = rigid.copy()
    sheared[:3, 0] += shear * sheared[:3, 1]
    raw = make_raw(version, order)
    raw.set_qform(rigid, 1)
    raw.set_sform(sheared, 3)
    raw["xyzt_units"] = units
    origin, shape = make_origin(raw, order), (3, 9, 5)
    info = output(origin, shape, voxel_map)
    out = written(info)
    corners = [(a, b, c) for a in (0, 8) for b in (0, 6) for c in (0, 4)]
    in_source = [
        tuple(s * v + o for s, v, o in zip(voxel_map.scale, p, voxel_map.offset, strict=True)) for p in corners
    ]
    tolerance = dict(rtol=0, atol=1e-4 if version == 1 else 1e-9)
    for form in ("get_sform", "get_qform"):
        expected = world(getattr(raw, form)(), [turn(p, order) for p in in_source])
        found = world(getattr(out, form)(), [turn(p, order) for p in corners])
        np.testing.assert_allclose(found, expected, **tolerance)
    mm = {1: 1000.0, 2: 1.0, 3: 0.001}[units]
    np.testing.assert_allclose(
        world(info.geometry.affine, corners),
        world(out.get_sform(), [turn(p, order) for p in corners]) * mm,
        rtol=0, atol=tolerance["atol"] * mm,
    )  # fmt: skip
    assert (out["qform_code"], out["sform_code"], out["xyzt_units"]) == (1, 3, units)
    product = raw.get_qform() @ np.diag([*turn(voxel_map.scale, order), 1])
    np.testing.assert_allclose(out.get_zooms(), np.linalg.norm(product[:3, :3], axis=0), rtol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
def test_an_unchanged_grid_keeps_every_bit(version):
    raw = make_raw(version)
    rng = np.random.default_rng(0)
    raw["srow_x"], raw["srow_y"], raw["srow_z"] = rng.normal(size=(3, 4)) + np.eye(3, 4) * 3
    raw["quatern_b"], raw["quatern_c"], raw["quatern_d"] = 0.1, 0.2, 0.3
    raw["qoffset_x"], raw["qoffset_y"], raw["qoffset_z"] = rng.normal(size=3) * 100
    raw["qform_code"], raw["sform_code"], raw["xyzt_units"] = 1, 4, 10
    raw["pixdim"][0], raw["descrip"] = -1, b"5.0.10"
    out = written(output(make_origin(raw)))
    for field in ("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
                  "qoffset_z", "qform_code", "sform_code", "xyzt_units", "descrip"):  # fmt: skip
        assert out[field].tobytes() == raw[field].tobytes(), field
    np.testing.assert_array_equal(out["pixdim"][:4], raw["pixdim"][:4])


def test_no_form_stays_no_form_while_the_grid_does():
    raw = make_raw()
    out = written(output(make_origin(raw)))
    assert (out["qform_code"], out["sform_code"]) == (0, 0)
    np.testing.assert_array_equal(out.get_best_affine(), raw.get_best_affine())


@pytest.mark.parametrize(("voxel_map", "shape"), [(VoxelMap((2.0, 1.0, 1.0)), SHAPE), (IDENTITY, (5, 7, 8))])
def test_no_form_becomes_an_sform_once_the_grid_moves(voxel_map, shape):
    info = output(make_origin(make_raw()), shape, voxel_map)
    out = written(info)
    assert (out["qform_code"], out["sform_code"]) == (0, 2)
    np.testing.assert_allclose(out.get_sform(), turn_affine(info.geometry.affine, "kji"), rtol=1e-6)
    np.testing.assert_allclose(out.get_zooms(), np.linalg.norm(out.get_sform()[:3, :3], axis=0))


def test_unknown_spacing_stays_unknown():
    raw = make_raw()
    raw["pixdim"][1:4] = 0
    out = written(output(make_origin(raw), (5, 7, 8)))
    assert (out["qform_code"], out["sform_code"]) == (0, 0)


@pytest.mark.parametrize("order", ["kji", "ijk"])
def test_a_source_that_was_no_nifti(order):
    affine = np.random.default_rng(1).normal(size=(4, 4)) * [3, 3, 3, 90]
    affine[3] = [0, 0, 0, 1]
    origin = VolumeInfo(SHAPE, 1, np.dtype("uint8"), Geometry(affine, SHAPE), axes=order)
    info = output(origin, (3, 3, 4), VoxelMap((2.0, 2.0, 2.0), (0.5, 0.5, 0.5)))
    out = written(info)
    assert (out["qform_code"], out["sform_code"], out["xyzt_units"]) == (0, 2, 2)
    np.testing.assert_allclose(out.get_sform(), turn_affine(info.geometry.affine, order), rtol=1e-5, atol=1e-5)
    bare = written(output(replace(origin, geometry=Geometry(None, SHAPE))))
    assert (bare["qform_code"], bare["sform_code"], bare["xyzt_units"]) == (0, 0, 0)
    np.testing.assert_array_equal(bare["pixdim"][:4], 1)


@pytest.mark.parametrize(
    ("channels", "batch", "layout", "dims", "intent"),
    [
        (1, 1, "4d", (), 0),
        (1, 1, "vector", (), 0),
        (1, 4, "4d", (4,), 0),
        (3, 1, "4d", (3,), 0),
        (3, 1, "vector", (1, 3), 1007),
        (3, 4, "4d", (4, 3), 0),
        (3, 4, "vector", (4, 3), 1007),
    ],
)
def test_axes_and_intent(channels, batch, layout, dims, intent):
    info = output(make_origin(make_raw()), channels=channels, batch=batch)
    assert output_dims(info, layout) == (8, 7, 6, *dims)
    out = written(info, layout)
    assert out.get_data_shape() == (8, 7, 6, *dims)
    assert out["intent_code"] == intent
    assert (out["scl_slope"], out["scl_inter"]) == (1, 0)


@pytest.mark.parametrize(
    ("channels", "batch", "layout", "kept"),
    [(1, 4, "4d", True), (3, 4, "4d", True), (4, 1, "4d", True), (4, 1, "vector", False), (3, 1, "4d", False)],
)
def test_times_are_kept_where_the_axis_is(channels, batch, layout, kept):
    raw = make_raw()
    raw["dim"][:5] = [4, 8, 7, 6, 4]
    raw["pixdim"][4], raw["toffset"] = 2.5, 7
    out = written(output(make_origin(raw), channels=channels, batch=batch), layout)
    assert (out["pixdim"][4], out["toffset"]) == ((2.5, 7) if kept else (1, 0))


def test_labels_have_their_intent():
    assert written(output(make_origin(make_raw()), labels=True))["intent_code"] == 1002


def test_long_axes_and_nifti2_sources_make_nifti2():
    assert isinstance(written(output(make_origin(make_raw()), (1, 1, 32767))), Nifti1Header)
    assert isinstance(written(output(make_origin(make_raw()), (1, 1, 32768))), Nifti2Header)
    assert isinstance(written(output(make_origin(make_raw(2)))), Nifti2Header)


@pytest.mark.parametrize("record", ["", "{}", "x" * 8, "x" * 9, "x" * 100_000, '{"a": "\u00e4"}'])
@pytest.mark.parametrize("version", [1, 2])
def test_voxels_start_on_16_bytes_behind_the_record(record, version):
    info = output(make_origin(make_raw(version)), record=record)
    block = make_header(info, "4d", single=True)
    assert len(block) % 16 == 0
    assert written(info)["vox_offset"] == len(block)
    assert written(info, single=False)["vox_offset"] == 0
    assert load_header(block[:540], "out.nii").offset == len(block)
    assert not load_header(make_header(info, "4d", single=False)[:540], "out.hdr").single


@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool", "S4"])
def test_types_nifti_does_not_have(dtype):
    info = replace(output(make_origin(make_raw())), dtype=np.dtype(dtype))
    with pytest.raises(UsageError, match="float32"):
        check_storable(info, "out.nii")


@pytest.mark.parametrize("seed", range(8))
def test_a_turned_grid_has_the_qform_of_its_affine(seed):
    rng = np.random.default_rng(seed)
    part = rng.standard_normal(4)
    a, b, c, d = part / np.sqrt((part**2).sum()) * (1 if part[0] > 0 else -1)
    before = nib.quaternions.quat2mat((a, b, c, d))
    for signs in np.ndindex(2, 2, 2):
        signs = [1 - 2 * s for s in signs]
        rest = turn_round((b, c, d), signs)
        first = np.sqrt(max(0.0, 1 - np.sum(np.square(rest))))
        after = nib.quaternions.quat2mat((first, *rest)) @ np.diag([1, 1, np.prod(signs)])
        np.testing.assert_allclose(after, before @ np.diag(signs), atol=1e-7)

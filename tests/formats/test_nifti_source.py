"""NIfTI sources, held against nibabel."""

import gzip
import os
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from volconv.errors import BudgetError, FormatError, MissingFileError, RunError, UsageError
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.rounding import ROUNDING_NOTE
from volconv.region import Region
from volconv.testing.source_contract import SourceContract


def to_file_order(values, order):
    """(C, D, H, W) as the (x, y, z) or (x, y, z, c) array nibabel wants."""
    axes = (3, 2, 1, 0) if order == "kji" else (1, 2, 3, 0)
    out = values.transpose(axes)
    return out[..., 0] if out.shape[-1] == 1 else out


class NiftiSourceContract(SourceContract):
    suffix = ".nii"
    kind = nib.Nifti1Image

    def make_source(self, folder, values, order):
        image = self.kind(to_file_order(values, order), np.eye(4), dtype=values.dtype)
        path = folder / f"scan{self.suffix}"
        nib.save(image, path)
        return NiftiSource(path, order=order, channels=values.shape[0])


class TestNii(NiftiSourceContract):
    pass


class TestNiiGz(NiftiSourceContract):
    suffix = ".nii.gz"


class TestNifti2(NiftiSourceContract):
    kind = nib.Nifti2Image


class TestPair(NiftiSourceContract):
    suffix = ".hdr"
    kind = nib.Nifti1Pair


class TestPairByItsVoxels(NiftiSourceContract):
    suffix = ".img"
    kind = nib.Nifti2Pair


class TestGzippedPair(NiftiSourceContract):
    suffix = ".img.gz"
    kind = nib.Nifti1Pair

    def make_source(self, folder, values, order):
        plain = TestPair.make_source(self_of(".hdr", nib.Nifti1Pair), folder, values, order)
        plain.close()
        for half in (".hdr", ".img"):
            file = folder / f"scan{half}"
            (folder / f"scan{half}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        return NiftiSource(folder / "scan.hdr.gz", order=order, channels=values.shape[0])


def self_of(suffix, kind):
    maker = NiftiSourceContract()
    maker.suffix, maker.kind = suffix, kind
    return maker


def save(path, values, dtype="int16", affine=None, **fields):
    """Save (x, y, z) values as they are, then set header fields in the file."""
    image = nib.Nifti1Image(np.asarray(values, dtype), np.eye(4) if affine is None else affine, dtype=dtype)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def patch(path, **fields):
    """Set fields in a saved header, past nibabel's own care."""
    block = bytearray(path.read_bytes())
    raw = nib.Nifti1Header(bytes(block[:348]), check=False)
    for name, value in fields.items():
        raw[name] = value
    block[:348] = raw.binaryblock
    path.write_bytes(bytes(block))
    return path


def read_all(path, scratch=None, order="ijk", **options):
    """Read as (x, y, z, ...), nibabel's order, and close."""
    source = NiftiSource(path, order=order, **options)
    source.load(scratch)
    info = source.info
    out = np.zeros((info.batch, info.channels, *info.shape), np.float64)
    for batch in range(info.batch):
        source.read(Region.whole(info.shape), out[batch], batch)
    source.close()
    return np.squeeze(np.moveaxis(out, (0, 1), (-2, -1)), axis=(-2, -1) if out.shape[:2] == (1, 1) else ())


BOX = np.arange(4 * 5 * 6).reshape(4, 5, 6)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize(("slope", "intercept"), [(0.363, 0), (7.11, -1024), (-2, 5), (np.nan, 3), (0, 3)])
def test_scaling_is_nibabels(tmp_path, suffix, dtype, slope, intercept):
    block = patch(save(tmp_path / "plain.nii", BOX, dtype), scl_slope=slope, scl_inter=intercept).read_bytes()
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(gzip.compress(block) if suffix == ".nii.gz" else block)
    np.testing.assert_array_equal(read_all(path), nib.load(path).get_fdata())


def test_scaled_volumes_say_so_and_refuse_their_stored_type(tmp_path):
    path = patch(save(tmp_path / "scan.nii", BOX), scl_slope=2, scl_inter=1)
    source = NiftiSource(path)
    source.load(None)
    assert (source.info.slope, source.info.intercept) == (2, 1)
    assert source.info.is_scaled
    with pytest.raises(ValueError, match="int16"):
        source.read(Region.whole(source.info.shape), np.zeros((1, *source.info.shape), np.int16))


def test_int64_beyond_2_53_passes_unchanged_or_rounded_once(tmp_path):
    values = np.array([[[2**63 - 1, 2**62 + 1, -(2**60) - 1, 2**53 + 1]]])
    source = NiftiSource(save(tmp_path / "scan.nii", values, "int64"), order="ijk")
    source.load(None)
    for dtype in (np.int64, np.float64, np.float32):
        out = np.zeros((1, 1, 1, 4), dtype)
        source.read(Region.whole((1, 1, 4)), out)
        np.testing.assert_array_equal(out[0], values if dtype == np.int64 else values.astype(float).astype(dtype))
        assert source.warnings == ([] if dtype == np.int64 else [ROUNDING_NOTE])


def test_values_beyond_float32_draw_a_warning(tmp_path):
    source = NiftiSource(save(tmp_path / "scan.nii", np.full((2, 2, 2), 1e300), "float64"))
    source.load(None)
    out = np.zeros((1, 2, 2, 2), np.float32)
    for _ in range(2):
        source.read(Region.whole((2, 2, 2)), out)
    assert np.isinf(out).all()
    assert len(source.warnings) == 1


def test_big_endian(tmp_path):
    path = tmp_path / "scan.nii"
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype("int32")
    nib.save(nib.Nifti1Image(BOX.astype(">i4"), np.eye(4), header), path)
    assert NiftiSource(path).header.byte_order == ">"
    assert NiftiSource(path).info.dtype == np.int32
    np.testing.assert_array_equal(read_all(path), BOX)


@pytest.mark.parametrize("offset", [352, 353, 361, 5000])
def test_unaligned_offsets(tmp_path, offset):
    path = save(tmp_path / "scan.nii", BOX)
    block = path.read_bytes()
    path.write_bytes(block[:352] + bytes(offset - 352) + block[352:])
    patch(path, vox_offset=offset)
    np.testing.assert_array_equal(read_all(path), BOX)


def test_offset_0_does_not_read_the_header_as_voxels(tmp_path):
    np.testing.assert_array_equal(read_all(patch(save(tmp_path / "scan.nii", BOX), vox_offset=0)), BOX)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("missing", [1, 120])
def test_voxels_cut_short(tmp_path, missing, packed):
    path = save(tmp_path / "scan.nii", BOX)
    block = path.read_bytes()[:-missing]
    path.write_bytes(gzip.compress(block) if packed else block)
    total, extra = 4 * 5 * 6 * 2, 352 if packed else 0
    with pytest.raises(FormatError, match="cut short") as caught:
        read_all(path)
    assert str(total + extra) in str(caught.value)
    assert str(total + extra - missing) in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_stray_bytes_are_passed_over_and_told(tmp_path, packed):
    path = save(tmp_path / "scan.nii", BOX)
    block = path.read_bytes() + b"?" * 77
    path.write_bytes(gzip.compress(block) if packed else block)
    source = NiftiSource(path)
    source.load(None)
    assert len(source.warnings) == 1
    assert "77 stray bytes" in source.warnings[0]
    np.testing.assert_array_equal(read_all(path), BOX)


def test_stray_bytes_behind_gzip(tmp_path):
    path = save(tmp_path / "scan.nii.gz", BOX)
    path.write_bytes(path.read_bytes() + b"stray")
    source = NiftiSource(path)
    source.load(None)
    assert "5 stray bytes" in source.warnings[0]


def test_a_bomb_behind_the_voxels_is_not_unpacked(tmp_path):
    path = save(tmp_path / "scan.nii", BOX)
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(64 << 20)))
    source = NiftiSource(path)
    with pytest.raises(FormatError, match="follow the voxels"):
        source.load(None)


def test_sizes_the_file_cannot_have_are_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "scan.nii"
    raw = nib.Nifti2Header()
    raw.set_data_dtype("uint8")
    raw["vox_offset"] = 544
    raw["dim"] = [3, 2**31, 2**31, 2**2, 1, 1, 1, 1]  # 2**64 bytes: 0 where sizes wrap
    path.write_bytes(bytes(raw.binaryblock) + bytes(4))
    with pytest.raises(FormatError, match=f"found 0 bytes, expected {2**64}"):
        NiftiSource(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(FormatError, match=f"cannot hold {2**64 + 544} bytes"):
        NiftiSource(path)


def test_more_than_memory_holds_is_a_matter_of_budget(tmp_path):
    source = NiftiSource(save(tmp_path / "scan.nii.gz", BOX))
    source.header = replace(source.header, dims=(2**30, 2**30, 2))
    with pytest.raises(BudgetError):
        source.load(None)


def test_offset_past_the_end(tmp_path):
    with pytest.raises(FormatError) as caught:
        NiftiSource(patch(save(tmp_path / "scan.nii", BOX), vox_offset=10_000))
    assert caught.value.where == "vox_offset"


@pytest.mark.parametrize(("name", "content"), [("a.nii", "gz"), ("a.nii.gz", "plain")])
def test_content_decides_whether_it_is_gzip(tmp_path, name, content):
    plain = save(tmp_path / "plain.nii", BOX).read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(plain) if content == "gz" else plain)
    np.testing.assert_array_equal(read_all(path), BOX)
    assert bool(NiftiSource(path).spool_bytes) == (content == "gz")


def test_no_mutation_of_a_packed_scan_is_read_wrong_in_silence(tmp_path):
    path = save(tmp_path / "scan.nii.gz", BOX)
    packed, rng = path.read_bytes(), np.random.default_rng(3)
    right = 0
    for _ in range(400):
        damaged = bytearray(packed)
        damaged[rng.integers(0, len(packed))] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_all(path), BOX)
            right += 1
        except FormatError:
            continue
    assert right < 80


def test_no_mutation_of_a_plain_header_makes_another_error(tmp_path):
    path = save(tmp_path / "scan.nii", BOX)
    plain, rng, refused = path.read_bytes(), np.random.default_rng(4), 0
    for _ in range(250):
        damaged = bytearray(plain)
        for at in rng.integers(0, 352, 2):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            with np.errstate(all="ignore"):
                read_all(path, channels=None)
        except FormatError:
            refused += 1
    assert 0 < refused < 250


@pytest.mark.parametrize("half", [".hdr", ".img"])
def test_a_pair_without_its_other_half_names_it(tmp_path, half):
    nib.save(nib.Nifti1Pair(BOX.astype("int16"), np.eye(4)), tmp_path / "scan.hdr")
    other = {".hdr": ".img", ".img": ".hdr"}[half]
    (tmp_path / f"scan{other}").unlink()
    with pytest.raises(FormatError, match=f"scan{other}"):
        NiftiSource(tmp_path / f"scan{half}")


def test_a_pair_with_short_voxels_names_them(tmp_path):
    nib.save(nib.Nifti1Pair(BOX.astype("int16"), np.eye(4)), tmp_path / "scan.hdr")
    voxels = tmp_path / "scan.img"
    voxels.write_bytes(voxels.read_bytes()[:-3])
    with pytest.raises(FormatError, match=r"scan\.img.*found 237 bytes, expected 240"):
        NiftiSource(tmp_path / "scan.hdr")


def test_single_and_pair_are_not_mistaken_for_each_other(tmp_path):
    nib.save(nib.Nifti1Pair(BOX.astype("int16"), np.eye(4)), tmp_path / "scan.hdr")
    (tmp_path / "scan.hdr").rename(tmp_path / "scan.nii")
    with pytest.raises(FormatError, match="pair"):
        NiftiSource(tmp_path / "scan.nii")
    save(tmp_path / "other.nii", BOX).rename(tmp_path / "scan.hdr")
    with pytest.raises(FormatError, match=r"name the file \.nii"):
        NiftiSource(tmp_path / "scan.hdr")


def test_missing_folders_and_pipes(tmp_path):
    for name in ("absent.nii", "folder.nii", "pipe.nii"):
        path = tmp_path / name
        if name.startswith("folder"):
            path.mkdir()
        elif name.startswith("pipe"):
            os.mkfifo(path)
        with pytest.raises(MissingFileError, match=name):
            NiftiSource(path)


def test_a_file_that_shrinks_is_an_error_and_not_a_crash(tmp_path):
    path = save(tmp_path / "scan.nii", np.zeros((64, 64, 64)))
    source = NiftiSource(path)
    source.load(None)
    with path.open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(RunError, match="shorter"):
        source.read(Region.whole((64, 64, 64)), np.zeros((1, 64, 64, 64), np.float32))
    with pytest.raises(RunError):
        source.check_unchanged()


def test_time_series_are_batches(tmp_path):
    series = np.arange(4 * 5 * 6 * 3).reshape(4, 5, 6, 3)
    path = save(tmp_path / "scan.nii", series)
    source = NiftiSource(path, order="kji", channels=1)
    assert (source.info.batch, source.info.channels) == (3, 1)
    source.load(None)
    out = np.zeros((1, 6, 5, 4), np.float32)
    for t in range(3):
        source.read(Region.whole((6, 5, 4)), out, t)
        np.testing.assert_array_equal(out[0], series[..., t].T)
    with pytest.raises(ValueError, match="outside"):
        source.read(Region.whole((6, 5, 4)), out, 3)
    with pytest.raises(FormatError, match="found 3 volumes, expected 2"):
        NiftiSource(path, channels=2)


def test_vectors_of_a_time_series(tmp_path):
    series = np.arange(2 * 3 * 4 * 5 * 3).reshape(2, 3, 4, 5, 3)
    source = NiftiSource(save(tmp_path / "scan.nii", series), order="kji", channels=3)
    source.load(None)
    out = np.zeros((3, 4, 3, 2), np.float32)
    for t in range(5):
        source.read(Region.whole((4, 3, 2)), out, t)
        np.testing.assert_array_equal(out, series[:, :, :, t].T)


def test_flat_images_are_one_slice(tmp_path):
    values = np.arange(20).reshape(4, 5)
    assert NiftiSource(save(tmp_path / "scan.nii", values), order="kji").info.shape == (1, 5, 4)
    np.testing.assert_array_equal(read_all(tmp_path / "scan.nii")[..., 0], values)


def test_spacing_is_for_files_that_do_not_say(tmp_path):
    path = patch(save(tmp_path / "bare.nii", BOX), sform_code=0, qform_code=0, pixdim=[1, 0, 0, 0, 1, 1, 1, 1])
    assert NiftiSource(path).info.geometry.affine is None
    source = NiftiSource(path, order="kji", spacing_mm=(3, 2, 1))
    assert source.info.geometry.spacing_mm == (3, 2, 1)
    assert source.header.pixdim[1:4] == (1, 2, 3)
    said = save(tmp_path / "said.nii", BOX, affine=np.diag([1, 2, 3, 1]))
    assert NiftiSource(said, spacing_mm=(3, 2, 1)).info.geometry.spacing_mm == (3, 2, 1)
    with pytest.raises(UsageError, match="3, 2, 1"):
        NiftiSource(said, spacing_mm=(1, 2, 3))


@pytest.mark.parametrize("order", ["kji", "ijk"])
def test_geometry_is_nibabels_affine(tmp_path, order):
    affine = np.random.default_rng(0).normal(size=(4, 4)) * 3
    affine[3] = [0, 0, 0, 1]
    path = save(tmp_path / "scan.nii", BOX, affine=affine)
    geometry = NiftiSource(path, order=order).info.geometry
    expected = nib.load(path).affine
    np.testing.assert_array_equal(geometry.affine, expected if order == "ijk" else expected[:, [2, 1, 0, 3]])


def test_reading_before_loading_and_outside(tmp_path):
    source = NiftiSource(save(tmp_path / "scan.nii", BOX))
    out = np.zeros((1, 6, 5, 4), np.float32)
    with pytest.raises(RuntimeError, match="load"):
        source.read(Region.whole((6, 5, 4)), out)
    source.load(None)
    with pytest.raises(ValueError, match="outside"):
        source.read(Region((1, 0, 0), (7, 5, 4)), out)
    with pytest.raises(ValueError, match="shape"):
        source.read(Region.whole((6, 5, 3)), out)


def test_every_real_scan_reads_as_nibabel_reads_it(test_scans, tmp_path):
    for path in test_scans:
        if path.name == "complex.nii.gz":
            with pytest.raises(FormatError, match="complex64"):
                NiftiSource(path)
            continue
        image = nib.load(path)
        for order in ("kji", "ijk"):
            source = NiftiSource(path, order=order)
            source.load(tmp_path if order == "kji" else None)
            values = image.get_fdata(dtype=np.float64).reshape(*image.shape[:3], -1)
            region = Region.whole(source.info.shape).clip(Region((3, 5, 2), (40, 60, 70)))
            out = np.zeros((1, *region.shape), np.float32)
            for batch in range(source.info.batch):
                source.read(region, out, batch)
                whole = values[..., batch] if order == "ijk" else values[..., batch].T
                np.testing.assert_array_equal(out[0], whole[region.slices()].astype(np.float32))
            source.close()


def test_scans_of_one_head_in_six_orders_agree_in_space(test_scans):
    heads = [NiftiSource(path) for path in test_scans if path.parent.name == "orient"]
    centres = []
    for head in heads:
        centre = [(n - 1) / 2 for n in head.info.shape]
        centres.append(head.info.geometry.affine @ [*centre, 1])
    assert len(centres) == 6
    np.testing.assert_allclose(centres, np.broadcast_to(centres[0], (6, 4)), atol=3)

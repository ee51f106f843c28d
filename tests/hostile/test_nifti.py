"""`volconv run` on NIfTI files that are damaged or made to do harm."""

import gzip
import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.hostile.carriers import SECRET, SHAPE, make_nifti, values
from volconv.formats.gzip_stream import MAX_RATIO

RUN = ("run", "same.yaml")
# Byte positions and types of fields: nifti1.h, nifti2.h.
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, INTERCEPT = 40, 70, 76, 108, 112, 116
QFORM_CODE, SFORM_CODE, QUATERN_B, SROW_X, MAGIC = 252, 254, 256, 280, 344


@pytest.fixture
def scan(tmp_path):
    """Return a good volume's bytes, texts in every free field and an extension."""
    make_nifti(tmp_path / "good.nii")
    content = (tmp_path / "good.nii").read_bytes()
    (tmp_path / "good.nii").unlink()
    return content


@pytest.fixture
def run_on(refused, tmp_path):
    """Return a function: a run on these bytes must fail with this code."""

    def check(code, content, name="scan.nii"):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        error = refused(code, *RUN, path, "-o", "out.nii")
        assert error["file"] == str(path)
        return error

    return check


def patch(content, *changes):
    """Return `content` with (place, struct format, values...) put in."""
    out = bytearray(content)
    for place, form, *numbers in changes:
        struct.pack_into("<" + form, out, place, *numbers)
    return bytes(out)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, this is text\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(900), bytes(4096), bytes(range(256)) * 4],
    ids=["empty", "text", "PNG", "zeros", "noise"],
)
def test_what_is_no_nifti(run_on, content):
    run_on("nifti.signature", content)
    run_on("nifti.signature", gzip.compress(content), "scan.nii.gz")


@pytest.mark.parametrize("length", [4, 100, 347])
def test_headers_cut_short(run_on, scan, length):
    run_on("nifti.header_truncated", scan[:length])


def test_signatures_that_are_wrong(run_on, scan):
    assert run_on("nifti.magic", patch(scan, (MAGIC, "4s", b"n+9\0")))["where"] == "magic"
    assert run_on("nifti.sizeof_hdr", patch(scan, (0, "i", 349)))["where"] == "sizeof_hdr"
    assert run_on("nifti.magic", patch(scan, (MAGIC, "4s", bytes(4))))["where"] == "magic"
    image = nib.Nifti2Image(values(), np.eye(4))
    copied_as_text = image.to_bytes().replace(b"\r\n\x1a\n", b"\n\x1a\n\n", 1)
    assert run_on("nifti.magic", copied_as_text)["where"] == "magic"


@pytest.mark.parametrize("count", [0, 8, -1, 256, 1792])
def test_numbers_of_axes(run_on, scan, count):
    assert run_on("nifti.dim", patch(scan, (DIM, "h", count)))["where"] == "dim[0]"


@pytest.mark.parametrize("lengths", [(0, 8, 9), (7, -8, 9), (-7, -8, 9)])
def test_axes_without_voxels(run_on, scan, lengths):
    assert run_on("nifti.dim", patch(scan, (DIM + 2, "3h", *lengths)))["where"].startswith("dim[")


def test_sizes_that_wrap_to_that_of_the_file(run_on):
    """2^62 · 3 · 4 + 3 int16 voxels are 6 bytes modulo 2^64; the rest of the arithmetic must not be of 64 bits."""
    image = nib.Nifti2Image(np.zeros((3, 1, 1), np.int16), np.eye(4))
    content = bytearray(image.to_bytes())
    for lengths in ((2**31, 2**31, 4, 1), (2**32, 2**32, 1, 1), (2**40, 2**40, 2**40, 1)):
        struct.pack_into("<5q", content, 16, 4, *lengths)
        run_on("nifti.voxels_truncated", bytes(content))


def test_sizes_that_no_gzip_file_can_hold(run_on, scan):
    assert run_on("nifti.dim", gzip.compress(patch(scan, (DIM + 2, "3h", *[32767] * 3))), "scan.nii.gz")["found"]


def test_sizes_behind_gzip_that_the_file_does_not_hold(run_on, scan):
    """As much as gzip could pack into so few bytes; what is allocated for it is only touched as voxels arrive."""
    packed = gzip.compress(scan)
    depth = (len(packed) * MAX_RATIO - 352) // (2 * 64 * 64)
    run_on("nifti.voxels_truncated", gzip.compress(patch(scan, (DIM + 2, "3h", 64, 64, depth // 2))), "scan.nii.gz")


@pytest.mark.parametrize("missing", [1, 504])
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_cut_short(run_on, scan, missing, packed):
    cut = scan[:-missing]
    run_on("nifti.voxels_truncated", gzip.compress(cut) if packed else cut, "scan.nii.gz" if packed else "scan.nii")


@pytest.mark.parametrize("offset", [np.nan, np.inf, -np.inf, 1e30, -352, 352.5, 1e6])
def test_offsets_that_are_no_place(run_on, scan, offset):
    assert run_on("nifti.vox_offset", patch(scan, (VOX_OFFSET, "f", offset)))["where"] == "vox_offset"


@pytest.mark.parametrize("intercept", [np.nan, np.inf])
def test_intercepts_that_are_no_number(run_on, scan, intercept):
    run_on("nifti.scaling", patch(scan, (SLOPE, "2f", 2, intercept)))
    run_on("nifti.scaling", patch(scan, (SLOPE, "2f", np.inf, 0)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_places_that_are_no_number(run_on, scan, bad):
    assert run_on("nifti.sform", patch(scan, (SROW_X + 4, "f", bad)))["where"] == "srow_x"
    no_sform = patch(scan, (QFORM_CODE, "2h", 1, 0))
    assert run_on("nifti.qform", patch(no_sform, (QUATERN_B, "f", bad)))["where"] == "quatern_b"
    assert run_on("nifti.qform", patch(no_sform, (QUATERN_B, "3f", 1, 1, 1)))["where"] == "quatern"
    assert run_on("nifti.pixdim", patch(scan, (PIXDIM + 8, "f", bad)))["where"] == "pixdim[2]"
    assert run_on("nifti.affine", patch(scan, (SROW_X, "8f", *[1, 0, 0, 0] * 2)))["where"] == "srow"


@pytest.mark.parametrize("code", [0, 1, 32, 128, 255, 1536, 1792, 2048, 2304, -4])
def test_types_that_are_no_numbers(run_on, scan, code):
    error = run_on("nifti.datatype", patch(scan, (DATATYPE, "h", code)))
    assert f"code {code}" in error["found"]
    assert "uint8" in error["expected"]


def test_series_and_more_axes_than_there_are(run_on, refused, tmp_path):
    (tmp_path / "same.yaml").write_text("volconv: 1\ninput: {channels: 2}\nstages: [{op: Identity, name: same}]\n")
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5, 7), "u1"), np.eye(4)), tmp_path / "scan.nii")
    assert run_on("volume.channels", None)["where"] == "dim[4]"
    nib.save(nib.Nifti1Image(values(), np.eye(4)), tmp_path / "scan.nii")
    refused("volume.channels", *RUN, "scan.nii", "-o", "out.nii")
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5, 2, 2, 2), "u1"), np.eye(4)), tmp_path / "scan.nii")
    assert run_on("nifti.dim", None)["where"] == "dim"


@pytest.mark.parametrize("size", [-8, 0, 7, 1 << 20])
def test_extensions_of_impossible_sizes(refused, tmp_path, scan, size):
    (tmp_path / "scan.nii").write_bytes(patch(scan, (352, "i", size)))
    refused("nifti.extension", "inspect", tmp_path / "scan.nii")


def test_gzip_that_is_damaged(run_on, scan):
    packed = gzip.compress(scan)
    run_on("gzip.truncated", packed[: len(packed) // 2], "scan.nii.gz")
    run_on("gzip.truncated", packed[:-8], "scan.nii.gz")
    run_on("gzip.damaged", packed[:-8] + bytes(4) + packed[-4:], "scan.nii.gz")
    run_on("gzip.damaged", packed[:-4] + bytes(4), "scan.nii.gz")
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 4
    run_on("gzip.damaged", bytes(flipped), "scan.nii.gz")


def test_a_bomb_behind_the_voxels(run_on, scan):
    run_on("nifti.trailing_bytes", gzip.compress(scan + bytes(1 << 27)), "scan.nii.gz")


def test_a_bomb_before_the_voxels(run_on, scan):
    """`vox_offset` may lie far behind: it is passed over in blocks."""
    far = patch(scan, (VOX_OFFSET, "f", 1 << 27)) + np.random.default_rng(0).bytes(1 << 17)
    run_on("nifti.voxels_truncated", gzip.compress(far + bytes(1 << 26)), "scan.nii.gz")


def test_halves_of_pairs(run_on, refused, tmp_path, scan):
    nib.save(nib.Nifti1Pair(values(), np.eye(4)), tmp_path / "pair.img")
    (tmp_path / "pair.img").write_bytes((tmp_path / "pair.img").read_bytes()[:-2])
    assert refused("nifti.voxels_truncated", *RUN, "pair.hdr", "-o", "out.nii")["file"] == "pair.img"
    (tmp_path / "pair.img").unlink()
    error = run_on("nifti.pair", None, "pair.hdr")
    assert "pair.img" in error["message"]
    run_on("nifti.pair", scan, "pair.hdr")


def test_no_message_tells_the_free_text_of_a_header(command, tmp_path, scan):
    """Nor does a report: `refused` looks for it in every message of this file."""
    (tmp_path / "scan.nii").write_bytes(scan)
    for words in (("inspect", "scan.nii"), ("inspect", "scan.nii", "--json"), ("inspect", "scan.nii", "--verify")):
        result = command(*words)
        assert SECRET[:8] not in result.stdout + result.stderr
    assert SECRET.encode() in Path(tmp_path / "scan.nii").read_bytes()
    assert values().shape == SHAPE


def test_voxels_that_are_not_finite_reach_their_windows_and_are_counted(command, tmp_path):
    data = np.ones((9, 8, 7), np.float32)
    data[4, 4, 4], data[0, 0, 0] = np.nan, np.inf
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "scan.nii")
    stage = "{op: Conv3d, name: mean, kernel_size: 3, padding: same, weight: {generator: mean}}"
    (tmp_path / "mean.yaml").write_text(f"volconv: 1\nstages: [{stage}]\n")
    result = command("run", "mean.yaml", "scan.nii", "-o", "out.nii", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["outputs"][0]["not_finite"] == 27 + 8
    assert summary["warnings"] == ["out.nii: 35 values are NaN or infinite"]
    expected = np.zeros(data.shape, bool)
    expected[3:6, 3:6, 3:6] = expected[:2, :2, :2] = True
    np.testing.assert_array_equal(~np.isfinite(nib.load(tmp_path / "out.nii").get_fdata()), expected)

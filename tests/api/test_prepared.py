"""Whole runs with what a spec says beside its stages: orientation, spacing, intensity, masks, padding, the way back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from nibabel.processing import resample_from_to
from scipy.ndimage import map_coordinates

import volconv
from volconv.api.check import check
from volconv.errors import FormatError, MissingFileError, OutputError, SpecError, UsageError
from volconv.formats.record import read_record

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.1, -0.1, 0.05) @ np.diag([-0.9, 1.1, 2.5])[:, [2, 0, 1]], [12.0, -30.0, 5.0]
)
SHAPE = (20, 17, 12)


@pytest.fixture
def scan(tmp_path):
    """A scan of axes SLA, its header in single precision as files have it."""
    values = (np.random.default_rng(0).random(SHAPE) * 1000).astype("f4")
    image = nib.Nifti1Image(values, OBLIQUE)
    image.set_qform(OBLIQUE, 1)
    image.set_sform(OBLIQUE, 1)
    nib.save(image, tmp_path / "scan.nii.gz")
    return nib.load(tmp_path / "scan.nii.gz")


@pytest.fixture
def mask(tmp_path, scan):
    inside = scan.get_fdata() > 400
    nib.save(nib.Nifti1Image(inside.astype("u1"), scan.affine), tmp_path / "mask.nii.gz")
    return inside


def write_spec(folder: Path, *stages, **more) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps({"volconv": 1, "stages": list(stages) or [{"op": "Identity"}], **more}))
    return path


def run(tmp_path, spec, name="out.nii.gz", **options):
    volconv.run(spec, tmp_path / "scan.nii.gz", tmp_path / name, force=True, **options)
    return nib.load(tmp_path / name)


SMOOTH = {
    "op": "Conv3d", "padding": "same", "padding_mode": "replicate", "weight": {"generator": "gaussian", "sigma": 1}
}  # fmt: skip
EVERYTHING = {
    "input": {
        "orientation": "RAS", "spacing": [1.5, 1, 2], "order": 3, "mask": "mask.nii.gz", "pad_multiple": 8,
        "intensity": [{"percentile": [2, 98], "eps": 1e-3}, {"zscore": {"above": 0}}],
    },
    "output": {"space": "input"},
}  # fmt: skip


def test_an_orientation_that_no_file_says_is_noted(tmp_path):
    spec = write_spec(tmp_path, input={"orientation": "RAS"})
    values = np.zeros((4, 5, 6), "f4")
    for code, noted in ((0, True), (1, False)):
        image = nib.Nifti1Image(values, None)
        image.set_sform(np.diag([2.0, 2, 2, 1]), code)
        image.set_qform(None, 0)
        nib.save(image, tmp_path / "unsaid.nii")
        found = volconv.run(spec, tmp_path / "unsaid.nii", tmp_path / "out.nii", force=True)["warnings"]
        assert any("takes them for LAS" in text for text in found) == noted
    with h5py.File(tmp_path / "unsaid.h5", "w") as file:
        file["raw"] = values
    found = volconv.run(spec, tmp_path / "unsaid.h5", tmp_path / "out.nii", spacing=(1, 1, 1), force=True)["warnings"]
    assert any("takes them for RAS" in text for text in found)


@pytest.mark.parametrize("axes", ["kji", "ijk"])
@pytest.mark.parametrize("code", ["RAS", "LPI", "PSR"])
def test_an_orientation_is_nibabels_and_can_be_undone(tmp_path, scan, axes, code):
    found = run(tmp_path, write_spec(tmp_path, input={"orientation": code, "axes": axes}))
    expected = scan.as_reoriented(ornt_transform(io_orientation(scan.affine), axcodes2ornt(code)))
    np.testing.assert_array_equal(found.get_fdata(), expected.get_fdata())
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
    np.testing.assert_allclose(found.get_qform(), expected.affine, atol=1e-4)
    assert found.header["qform_code"] == found.header["sform_code"] == 1
    back = run(tmp_path, write_spec(tmp_path, input={"orientation": code, "axes": axes}, output={"space": "input"}))
    np.testing.assert_array_equal(back.get_fdata(), scan.get_fdata())
    np.testing.assert_array_equal(back.affine, scan.affine)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_spacing_is_scipys_and_lies_where_it_says(tmp_path, scan, order):
    new_mm, old_mm = (2.0, 1.0, 1.5), nib.affines.voxel_sizes(scan.affine)[::-1]
    found = run(tmp_path, write_spec(tmp_path, input={"spacing": list(new_mm), "order": order}))
    shape = [int(np.ceil(n * old / new)) for n, old, new in zip(SHAPE[::-1], old_mm, new_mm, strict=True)]
    places = [
        (np.arange(m) - (m - 1) / 2) * new / old + (n - 1) / 2
        for m, n, new, old in zip(shape, SHAPE[::-1], new_mm, old_mm, strict=True)
    ]
    values = scan.get_fdata(dtype=np.float32).transpose(2, 1, 0)
    grid = np.meshgrid(*places, indexing="ij")
    expected = map_coordinates(values, grid, order=order, mode="nearest").transpose(2, 1, 0)
    np.testing.assert_array_max_ulp(found.get_fdata(dtype=np.float32), expected, 1)
    np.testing.assert_allclose(nib.affines.voxel_sizes(found.affine), new_mm[::-1], rtol=1e-5)
    inside = (slice(3, -3),) * 3  # nibabel pads with zeros
    nibabels = resample_from_to(scan, found, order=order, mode="nearest").get_fdata()
    if order:
        np.testing.assert_allclose(found.get_fdata()[inside], nibabels[inside], atol=0.5)


@pytest.mark.usefixtures("scan")
def test_millimetres_are_those_of_the_working_grid(tmp_path):
    spec = write_spec(tmp_path, {**SMOOTH, "weight": {"generator": "gaussian", "sigma": "3mm"}},
                      input={"orientation": "RAS", "spacing": [1, 1, 1]})  # fmt: skip
    plan = volconv.plan(spec, tmp_path / "scan.nii.gz")
    assert plan.stages[0]["parameters"]["kernel_size"] == 25
    assert plan.before == (
        "orientation RAS: W becomes D, D becomes H, H becomes W, W flipped",
        "spacing 2.5 x 1.1 x 0.9 mm -> 1 x 1 x 1 mm: 20x12x17 -> 50x14x16, order 1",
    )


@pytest.mark.usefixtures("scan")
def test_a_setting_that_makes_no_sense_there_is_the_callers(tmp_path):
    spec = write_spec(tmp_path, parameters={"s": {"default": 1}}, input={"spacing": [1, 1, "$s"]})
    assert run(tmp_path, spec, settings={"s": 2}).shape[0] == 25
    with pytest.raises(UsageError, match=r"--set s: found -1, expected a length in mm above 0"):
        run(tmp_path, spec, settings={"s": -1})


@pytest.mark.parametrize("name", ["out.nii.gz", "out.h5", "out.nii"])
@pytest.mark.usefixtures("scan", "mask")
def test_any_cut_gives_the_same_bytes(tmp_path, name):
    spec, found = write_spec(tmp_path, SMOOTH, **EVERYTHING), set()
    for options in (
        {},
        {"tile": "whole"},
        {"tile": (5, 6, 7)},
        {"tile": (40, 3, 8), "threads": 1},
        {"memory": "250MB"},
    ):
        volconv.run(spec, tmp_path / "scan.nii.gz", tmp_path / name, force=True, **options)
        found.add((tmp_path / name).read_bytes())
    assert len(found) == 1
    assert not (tmp_path / f"{name}.volconv").exists()


@pytest.mark.usefixtures("scan", "mask")
def test_results_wait_in_scratch_where_memory_is_short(tmp_path):
    spec = write_spec(tmp_path, SMOOTH, **EVERYTHING)
    least = volconv.plan(spec, tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz", tile=(12, 8, 8))
    assert least.after[-2].endswith("by way of memory")
    expected = run(tmp_path, spec, tile=(12, 8, 8)).get_fdata()
    for short in range(least.peak_bytes, 0, -2048):
        tight = volconv.plan(spec, tmp_path / "scan.nii.gz", tmp_path / "o.nii.gz", tile=(12, 8, 8), memory=short)
        if tight.after[-2] != least.after[-2]:
            break
    assert tight.after[-2].endswith("by way of scratch")
    assert tight.scratch_bytes > least.scratch_bytes
    np.testing.assert_array_equal(run(tmp_path, spec, tile=(12, 8, 8), memory=short).get_fdata(), expected)


def test_a_mask_is_an_input_like_the_others(tmp_path, scan, mask):
    spec = write_spec(tmp_path, input={"mask": "mask.nii.gz", "intensity": [{"zscore": {}}]})
    found = run(tmp_path, spec, depfile=tmp_path / "out.d")
    values = scan.get_fdata(dtype=np.float32)
    chosen = values[mask].astype(np.float64)
    expected = np.where(mask, (values - np.float32(chosen.mean())) / np.float32(chosen.std()), 0)
    np.testing.assert_allclose(found.get_fdata(dtype=np.float32), expected, rtol=3e-7, atol=1e-7)
    record = read_record(tmp_path / "out.nii.gz")
    assert [entry["name"] for entry in record["inputs"]] == ["scan.nii.gz", "mask.nii.gz"]
    assert record["options"] == {}
    assert "mask.nii.gz" in (tmp_path / "out.d").read_text().splitlines()[0]
    with pytest.raises(OutputError):
        volconv.run(spec, tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz", force=True)


def test_a_mask_given_takes_the_place_of_the_specs(tmp_path, scan, mask):
    other = tmp_path / "elsewhere"
    other.mkdir()
    nib.save(nib.Nifti1Image((~mask).astype("f4"), scan.affine), other / "other.nii")
    spec = write_spec(tmp_path, input={"mask": "mask.nii.gz"})
    found = run(tmp_path, spec, mask=other / "other.nii")
    np.testing.assert_array_equal(found.get_fdata(), np.where(mask, 0, scan.get_fdata(dtype=np.float32)))
    assert read_record(tmp_path / "out.nii.gz")["options"] == {"mask": "other.nii"}
    with h5py.File(other / "m.h5", "w") as file:
        file["a/inside"] = mask.transpose(2, 1, 0)
    again = run(tmp_path, write_spec(tmp_path), mask=f"{other / 'm.h5'}:/a/inside")
    np.testing.assert_array_equal(again.get_fdata(), np.where(mask, scan.get_fdata(dtype=np.float32), 0))


def test_an_output_stays_only_while_its_mask_does(tmp_path, scan, mask):
    spec = write_spec(tmp_path, input={"mask": "mask.nii.gz"})
    names = (spec, tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz")
    volconv.run(*names)
    assert volconv.run(*names, skip_existing=True)["skipped"]
    nib.save(nib.Nifti1Image((~mask).astype("u1"), scan.affine), tmp_path / "mask.nii.gz")
    with pytest.raises(OutputError, match="exists"):
        volconv.run(*names, skip_existing=True)


@pytest.mark.usefixtures("scan")
def test_masks_that_cannot_be(tmp_path, mask):
    with pytest.raises(MissingFileError, match=r"none.nii"):
        run(tmp_path, write_spec(tmp_path), mask=tmp_path / "none.nii")
    with pytest.raises(SpecError, match=r"input.mask: found 'none.nii', which cannot be opened"):
        run(tmp_path, write_spec(tmp_path, input={"mask": "none.nii"}))
    with pytest.raises(SpecError, match=r"input.mask"):
        check(write_spec(tmp_path, input={"mask": "none.nii"}))
    with pytest.raises(SpecError, match=r"input.mask"):
        check(write_spec(tmp_path, input={"mask": "mask.txt"}))
    with pytest.raises(SpecError, match="lies in no folder"):
        volconv.load({"volconv": 1, "stages": [{"op": "Identity"}], "input": {"mask": "mask.nii.gz"}})(
            np.ones((1, 2, 2, 2))
        )
    nib.save(nib.Nifti1Image(mask.astype("u1"), np.eye(4)), tmp_path / "mask.nii.gz")
    with pytest.raises(FormatError, match=r"mask.nii.gz: found a mask whose voxels lie up to"):
        run(tmp_path, write_spec(tmp_path, input={"mask": "mask.nii.gz"}))
    assert not (tmp_path / "out.nii.gz").exists()


def test_padding_makes_strided_networks_fit(tmp_path, scan):
    half = {"op": "Conv3d", "kernel_size": 2, "stride": 2, "out_channels": 2, "weight": {"init": "default", "seed": 0}}
    double = {"op": "ConvTranspose3d", "name": "up", "kernel_size": 2, "stride": 2, "out_channels": 1,
              "weight": {"init": "default", "seed": 1}}  # fmt: skip
    stages = [{"op": "Identity", "name": "skip"}, half, double, {"op": "Add", "inputs": ["up", "skip"]}]
    spec = write_spec(tmp_path, *stages, input={"pad_multiple": 8})
    found = run(tmp_path, spec)
    assert found.shape == SHAPE
    np.testing.assert_array_equal(found.affine, scan.affine)
    padded = np.pad(scan.get_fdata(dtype=np.float32), [(0, -n % 8) for n in SHAPE])
    nib.save(nib.Nifti1Image(padded, scan.affine), tmp_path / "padded.nii")
    volconv.run(write_spec(tmp_path, *stages), tmp_path / "padded.nii", tmp_path / "whole.nii")
    np.testing.assert_array_equal(found.get_fdata(), nib.load(tmp_path / "whole.nii").get_fdata()[:20, :17, :12])


@pytest.mark.usefixtures("scan", "mask")
def test_outputs_on_coarser_grids_keep_the_mask_and_their_place(tmp_path):
    stages = [{**SMOOTH, "name": "fine"}, {"op": "Conv3d", "name": "coarse", "stride": 2, "kernel_size": 1,
              "out_channels": 1, "weight": [[[[[1]]]]]}]  # fmt: skip
    spec = write_spec(tmp_path, *stages, outputs=["fine", "coarse"], input={"mask": "mask.nii.gz"})
    volconv.run(spec, tmp_path / "scan.nii.gz", tmp_path / "o.nii")
    fine, coarse = (nib.load(tmp_path / f"o_{name}.nii") for name in ("fine", "coarse"))
    np.testing.assert_array_equal(coarse.get_fdata(), fine.get_fdata()[::2, ::2, ::2])
    spec = write_spec(tmp_path, *stages, outputs=["fine", "coarse"], output={"space": "input"})
    volconv.run(spec, tmp_path / "scan.nii.gz", tmp_path / "o.h5")
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["fine"].shape == file["coarse"].shape == SHAPE[::-1]
        np.testing.assert_allclose(file["coarse"][:-1:2, ::2, :-1:2], file["fine"][:-1:2, ::2, :-1:2], rtol=1e-6)
        np.testing.assert_allclose(
            file["coarse"][1, 2, 2], (file["fine"][0, 2, 2] + file["fine"][2, 2, 2]) / 2, rtol=1e-6
        )


def test_each_volume_of_a_series_has_its_own_statistics(tmp_path):
    values = (np.random.default_rng(0).random((5, 6, 7, 3)) * [1, 10, 100]).astype("f4")
    nib.save(nib.Nifti1Image(values, np.diag([1, 2, 3, 1])), tmp_path / "scan.nii.gz")
    spec = write_spec(
        tmp_path, input={"intensity": [{"minmax": [0, 1]}], "spacing": [1.5, 2, 1]}, output={"space": "input"}
    )
    found = run(tmp_path, spec).get_fdata()
    assert found.shape == values.shape
    single = []
    for volume in np.moveaxis(values, -1, 0):
        nib.save(nib.Nifti1Image(volume, np.diag([1, 2, 3, 1])), tmp_path / "scan.nii.gz")
        single.append(run(tmp_path, spec).get_fdata())
    np.testing.assert_array_equal(found, np.stack(single, -1))


@pytest.mark.usefixtures("scan", "mask")
def test_check_and_plan_tell(tmp_path):
    spec = write_spec(tmp_path, **EVERYTHING)
    report = check(spec)
    assert report["input"] == {
        "channels": 1, "axes": "kji", "orientation": "RAS", "spacing": [1.5, 1.0, 2.0], "order": 3,
        "mask": "mask.nii.gz", "intensity": ["percentile [2, 98] eps 0.001", "zscore above 0"], "pad_multiple": 8,
    }  # fmt: skip
    assert report["output"] == {"space": "input"}
    plan = volconv.plan(spec, tmp_path / "scan.nii.gz", tmp_path / "out.nii")
    document = plan.to_json()
    assert document["before"][2:] == [
        "mask mask.nii.gz",
        "intensity percentile [2, 98] eps 0.001, zscore above 0 (3 passes for statistics)",
        "padded to 40x16x8, multiples of 8",
    ]
    assert document["after"] == [
        "cropped to 34x14x8",
        "brought back to the scan's grid 12x17x20, order 3 (labels: nearest), by way of memory",
        "0 outside the mask",
    ]
    assert "before   mask mask.nii.gz" in str(plan)


def test_arrays_are_prepared_too(tmp_path):
    values = np.random.default_rng(0).random((2, 1, 6, 7, 8)) * 100
    spec = {
        "volconv": 1,
        "stages": [{"op": "Identity"}],
        "input": {"spacing": [1, 1, 1], "intensity": [{"minmax": [0, 1]}]},
    }
    found = volconv.load(spec)(values, spacing=(2, 1, 1.5))
    assert found.shape == (2, 1, 12, 7, 12)
    assert (found.min(axis=(1, 2, 3, 4)) == 0).all()
    assert (found.max(axis=(1, 2, 3, 4)) == 1).all()
    back = volconv.load({**spec, "output": {"space": "input"}, "input": {**spec["input"], "pad_multiple": 16}})
    single = back(values[0], spacing=(2, 1, 1.5), tile=(5, 5, 5))
    assert single.shape == values[0].shape
    np.testing.assert_array_equal(single, back(values, spacing=(2, 1, 1.5))[0])
    with pytest.raises(FormatError, match="does not say its spacing"):
        volconv.load(spec)(values)
    with pytest.raises(UsageError, match=r"input.orientation needs an affine, which an array does not have"):
        volconv.load({**spec, "input": {"orientation": "RAS"}})(values, spacing=(1, 1, 1))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["m"] = np.eye(8)[None, :7].repeat(6, 0)
    masked = write_spec(tmp_path, input={"mask": "m.h5", "axes": "kji"})
    np.testing.assert_array_equal(
        volconv.load(masked)(values[0]), values[0].astype("f4") * np.eye(8, dtype="f4")[None, None, :7]
    )


def test_a_double_precision_spec_resamples_in_double_precision():
    values = np.random.default_rng(0).random((1, 6, 7, 8))
    spec = {"volconv": 1, "dtype": "float64", "stages": [{"op": "Identity"}], "input": {"spacing": [1, 1, 1]}}
    found = volconv.load(spec)(values, spacing=(2, 1, 1))
    places = np.meshgrid((np.arange(12) - 5.5) / 2 + 2.5, np.arange(7), np.arange(8), indexing="ij")
    np.testing.assert_allclose(found[0], map_coordinates(values[0], places, order=1, mode="nearest"), rtol=1e-15)


DATA = os.environ.get("VOLCONV_TEST_DATA")
VOLUMES = Path(DATA or ".") / "volumes"
needs_data = pytest.mark.skipif(not DATA, reason="VOLCONV_TEST_DATA is not set")


@needs_data
def test_quantiles_of_a_real_head(tmp_path):
    volconv.run(write_spec(tmp_path, input={"intensity": [{"percentile": [2, 98], "eps": 1e-3}]}),
                VOLUMES / "t1_crop.nii.gz", tmp_path / "out.nii")  # fmt: skip
    values = nib.load(VOLUMES / "t1_crop.nii.gz").get_fdata(dtype=np.float32)
    expected = np.clip(values / (np.float32(127) + np.float32(1e-3)), 0, 1)
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").get_fdata(dtype=np.float32), expected)


@needs_data
def test_one_head_in_six_orders_becomes_one_array(tmp_path):
    spec = write_spec(tmp_path, input={"orientation": "RAS", "intensity": [{"zscore": {"above": 0}}]})
    found = []
    for path in sorted((VOLUMES / "orient").glob("*.nii*")):
        volconv.run(spec, path, tmp_path / "out.nii", force=True)
        image, scan = nib.load(tmp_path / "out.nii"), nib.load(path)
        canonical = nib.as_closest_canonical(scan)
        np.testing.assert_allclose(image.affine, canonical.affine, atol=1e-3)
        values = canonical.get_fdata(dtype=np.float32)
        chosen = values[values > 0].astype(np.float64)
        expected = (values - np.float32(chosen.mean())) / np.float32(chosen.std())
        np.testing.assert_allclose(image.get_fdata(), expected, rtol=3e-7, atol=1e-6)
        found.append(image.get_fdata())
    assert len(found) == 6
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@needs_data
def test_a_real_ct_to_isotropic_voxels_and_back(tmp_path):
    scan = nib.load(VOLUMES / "example_ct_sm.nii.gz")
    steps = [{"window": [-160, 240]}]
    spec = write_spec(
        tmp_path, input={"orientation": "RAS", "spacing": [3, 3, 3], "intensity": steps}, output={"space": "input"}
    )
    volconv.run(spec, VOLUMES / "example_ct_sm.nii.gz", tmp_path / "out.nii.gz")
    found = nib.load(tmp_path / "out.nii.gz")
    assert found.shape == scan.shape
    np.testing.assert_array_equal(found.affine, scan.affine)
    expected = np.clip((scan.get_fdata() + 160) / 400, 0, 1)
    assert np.corrcoef(found.get_fdata().ravel(), expected.ravel())[0, 1] > 0.97

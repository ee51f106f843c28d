"""Label maps in files: types, intent, what comes after the last tile, what --output-type makes of a spec."""

import json
import sys

import h5py
import nibabel as nib
import numpy as np
import pytest
import scipy.ndimage

import volconv
from volconv.api.convert import convert
from volconv.errors import BudgetError, ShapeError, UsageError
from volconv.formats.record import read_record

SHAPE = (14, 12, 10)  # x, y, z
SCORES = {"op": "Conv3d", "name": "scores", "out_channels": 4, "kernel_size": 3, "padding": 1, "bias": False,
          "weight": {"init": "default", "seed": 3}}  # fmt: skip
ARGMAX = {"op": "ArgMax", "name": "seg"}


@pytest.fixture
def scan(tmp_path):
    values = np.random.default_rng(0).standard_normal(SHAPE)
    values = scipy.ndimage.gaussian_filter(values, 0.8)
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(values.astype("f4"), np.diag([2, 2, 3, 1.0])), path)
    return path


def spec_file(tmp_path, *stages, **more):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"volconv": 1, "stages": list(stages), **more}))
    return path


def voxels(path):
    return np.asanyarray(nib.load(path).dataobj)


def expected_labels(spec, scan, **options):
    """The scores' largest channel by NumPy, (x, y, z)."""
    scores = volconv.load(spec)(nib.load(scan).get_fdata().astype("f4").transpose(2, 1, 0)[None], **options)
    return scores.argmax(axis=0).transpose(2, 1, 0)


def test_labels_are_small_integers_with_their_intent(scan, tmp_path):
    out = tmp_path / "seg.nii.gz"
    summary = volconv.run(spec_file(tmp_path, SCORES, ARGMAX), scan, out)
    image = nib.load(out)
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_intent()[0] == "label"
    assert image.header["intent_code"] == 1002
    assert (image.header["scl_slope"], image.header["scl_inter"]) in ((1, 0),) or np.isnan(image.header["scl_slope"])
    np.testing.assert_array_equal(image.affine, nib.load(scan).affine)
    spec = spec_file(tmp_path, SCORES)
    np.testing.assert_array_equal(voxels(out), expected_labels(spec, scan))
    assert summary["outputs"][0]["dtype"] == "uint8"


@pytest.mark.parametrize(("label", "kind"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32)])
def test_the_smallest_type_that_holds_the_labels(scan, tmp_path, label, kind):
    spec = spec_file(tmp_path, SCORES, ARGMAX, {"op": "Remap", "labels": {"2": label}})
    for name in ("out.nii", "out.h5"):
        volconv.run(spec, scan, tmp_path / name)
    found = nib.load(tmp_path / "out.nii")
    assert found.get_data_dtype() == kind
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["data"].dtype == kind
        assert file["data"].attrs["intent"] in ("label", b"label")
        np.testing.assert_array_equal(file["data"][()].T, voxels(tmp_path / "out.nii"))
    names = expected_labels(spec_file(tmp_path, SCORES), scan)
    np.testing.assert_array_equal(voxels(tmp_path / "out.nii"), np.where(names == 2, label, names))


def test_dtype_overrides(scan, tmp_path):
    volconv.run(spec_file(tmp_path, SCORES, ARGMAX), scan, tmp_path / "out.nii", dtype="int16")
    assert nib.load(tmp_path / "out.nii").get_data_dtype() == np.int16
    assert nib.load(tmp_path / "out.nii").header["intent_code"] == 1002


def test_features_have_no_label_intent(scan, tmp_path):
    volconv.run(spec_file(tmp_path, SCORES, ARGMAX, {"op": "Affine", "scale": 2}), scan, tmp_path / "out.nii")
    found = nib.load(tmp_path / "out.nii")
    assert (found.get_data_dtype(), int(found.header["intent_code"])) == (np.float32, 0)
    volconv.run(spec_file(tmp_path, SCORES), scan, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert "intent" not in file["data"].attrs


def largest(labels, connectivity=3):
    structure = scipy.ndimage.generate_binary_structure(3, connectivity)
    out = np.zeros_like(labels)
    for label in np.unique(labels[labels > 0]):
        parts, _ = scipy.ndimage.label((labels == label).transpose(2, 1, 0), structure)
        out[(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])).transpose(2, 1, 0)] = label
    return out


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "h5"])
def test_stages_on_whole_label_maps_whatever_the_tiles(scan, tmp_path, ending):
    names = expected_labels(spec_file(tmp_path, SCORES), scan)
    spec = spec_file(
        tmp_path, SCORES, ARGMAX, {"op": "LargestComponent", "connectivity": 6},
        {"op": "Remap", "labels": {"1": 300}}, {"op": "FillHoles"},
    )  # fmt: skip
    files = []
    for n, options in enumerate([{}, {"tile": "whole"}, {"tile": (3, 5, 4), "threads": 1}, {"memory": "400MB"}]):
        out = tmp_path / f"out{n}.{ending}"
        summary = volconv.run(spec, scan, out, **options)
        assert summary["outputs"][0]["dtype"] == "uint16"
        files.append(out.read_bytes())
    assert len(set(files)) == 1
    if ending == "h5":
        with h5py.File(tmp_path / "out0.h5") as file:
            found = file["data"][()].T
    else:
        found = voxels(tmp_path / f"out0.{ending}")
    kept = largest(names, 1)
    kept = np.where(kept == 1, 300, kept)
    assert ((found == kept) | (kept == 0)).all()
    assert (found[kept > 0] == kept[kept > 0]).all()
    array = volconv.load(spec)(nib.load(scan).get_fdata().astype("f4").transpose(2, 1, 0)[None], tile=(4, 4, 4))
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array[0].transpose(2, 1, 0), found)


def test_several_outputs_of_one_label_map(scan, tmp_path):
    spec = spec_file(
        tmp_path, SCORES, ARGMAX, {"op": "LargestComponent", "name": "largest"},
        {"op": "FillHoles", "name": "filled", "input": "seg"}, outputs=["filled", "seg", "largest", "scores"],
    )  # fmt: skip
    volconv.run(spec, scan, tmp_path / "out.nii", save={"seg": str(tmp_path / "again.nii.gz")})
    names = expected_labels(spec_file(tmp_path, SCORES), scan)
    np.testing.assert_array_equal(voxels(tmp_path / "out_seg.nii"), names)
    np.testing.assert_array_equal(voxels(tmp_path / "again.nii.gz"), names)
    np.testing.assert_array_equal(voxels(tmp_path / "out_largest.nii"), largest(names))
    assert voxels(tmp_path / "out_scores.nii").shape == (*SHAPE, 4)
    alone = tmp_path / "alone.nii"
    volconv.run(spec_file(tmp_path, SCORES, ARGMAX, {"op": "FillHoles"}), scan, alone)
    np.testing.assert_array_equal(voxels(tmp_path / "out_filled.nii"), voxels(alone))
    spec = spec_file(
        tmp_path, SCORES, ARGMAX, {"op": "LargestComponent", "name": "largest"}, outputs=["largest", "scores", "seg"]
    )
    found = volconv.load(spec)(nib.load(scan).get_fdata().astype("f4").transpose(2, 1, 0)[None])
    assert list(found) == ["largest", "scores", "seg"]
    assert [found[name].dtype for name in found] == [np.uint8, np.float32, np.uint8]


def test_a_time_series_is_finished_volume_by_volume(tmp_path):
    values = np.random.default_rng(1).standard_normal((8, 7, 6, 3)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "series.nii")
    threshold = {"op": "Threshold", "threshold": 0.2}
    spec = spec_file(tmp_path, threshold, {"op": "LargestComponent", "connectivity": 6})
    volconv.run(spec, tmp_path / "series.nii", tmp_path / "out.nii", tile=(3, 3, 3))
    found = voxels(tmp_path / "out.nii")
    assert found.dtype == np.uint8
    for t in range(3):
        np.testing.assert_array_equal(found[..., t], largest((values[..., t] > np.float32(0.2)).astype("u1"), 1))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([SCORES, {"op": "LargestComponent"}], "found features, expected labels: the result of ArgMax or Threshold"),
        ([{"op": "FillHoles"}], "found features, expected labels"),
        (
            [SCORES, ARGMAX, {"op": "LargestComponent", "name": "l"}, {"op": "Remap", "labels": {"1": 2}},
             {"op": "Affine", "scale": 2}],
            r"Affine reads 'Remap', behind LargestComponent, which needs the whole volume; expected no stages behind",
        ),
    ],
)  # fmt: skip
def test_stages_where_they_cannot_be(scan, tmp_path, stages, message):
    with pytest.raises(ShapeError, match=message) as found:
        volconv.run(spec_file(tmp_path, *stages), scan, tmp_path / "out.nii")
    assert found.value.exit_code == 3
    assert f"stages[{len(stages) - 1}]" in str(found.value)


def test_the_plan_counts_and_shows_what_comes_after_the_tiles(scan, tmp_path):
    spec = spec_file(tmp_path, SCORES, ARGMAX, {"op": "LargestComponent"})
    found = volconv.plan(spec, scan, tmp_path / "out.nii").to_json()
    assert [stage["name"] for stage in found["stages"]] == ["scores", "seg", "LargestComponent"]
    assert found["outputs"] == {
        "LargestComponent": {"shape": [10, 12, 14], "channels": 1, "spacing_mm": [3, 2, 2], "labels": 4}
    }
    assert "whole, after the last tile" in str(volconv.plan(spec, scan))
    large = tmp_path / "large.nii"
    nib.save(nib.Nifti1Image(np.zeros((256, 256, 256), "u1"), np.eye(4)), large)
    without = volconv.plan(spec_file(tmp_path, SCORES, ARGMAX), large, memory="500MB")
    assert without.peak_bytes <= 500e6
    spec = spec_file(tmp_path, SCORES, ARGMAX, {"op": "LargestComponent"})
    with pytest.raises(BudgetError, match=r"give --memory \d+MiB or more") as error:
        volconv.plan(spec, large, memory="500MB")
    least = int(str(error.value).split("--memory ")[1].split("MiB")[0])
    assert 256**3 * 35 < least * 2**20 < 1e9
    assert volconv.plan(spec, large, memory=f"{least}MiB").peak_bytes <= least * 2**20


def test_a_missing_library_is_said_before_anything_is_read(scan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cc3d", None)
    spec = spec_file(tmp_path, SCORES, ARGMAX, {"op": "LargestComponent"})
    with pytest.raises(UsageError, match=r"pip install 'volconv\[labels\]'"):
        volconv.plan(spec, scan)
    assert volconv.plan(spec_file(tmp_path, SCORES, ARGMAX), scan).count == 1


def test_output_type_appends_what_a_spec_leaves_open(scan, tmp_path):
    spec = spec_file(tmp_path, SCORES)
    for kind in ("features", "softmax", "argmax"):
        volconv.run(spec, scan, tmp_path / f"{kind}.nii.gz", output_type=kind)
        assert read_record(tmp_path / f"{kind}.nii.gz")["options"] == {"output_type": kind}
    scores = voxels(tmp_path / "features.nii.gz")
    volconv.run(spec, scan, tmp_path / "plain.nii.gz")
    np.testing.assert_array_equal(voxels(tmp_path / "plain.nii.gz"), scores)
    exponentials = np.exp(scores.astype("f8"))
    expected = exponentials / exponentials.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(voxels(tmp_path / "softmax.nii.gz"), expected, rtol=1e-5)
    labels = nib.load(tmp_path / "argmax.nii.gz")
    np.testing.assert_array_equal(voxels(tmp_path / "argmax.nii.gz"), scores.argmax(axis=-1))
    assert (labels.get_data_dtype(), int(labels.header["intent_code"])) == (np.uint8, 1002)
    written = tmp_path / "written.nii.gz"
    volconv.run(spec_file(tmp_path, SCORES, {"op": "ArgMax"}), scan, written, output_type="argmax")
    np.testing.assert_array_equal(voxels(written), voxels(tmp_path / "argmax.nii.gz"))


@pytest.mark.parametrize("dialect", ["torch", "megengine", "lucid", "onnx"])
def test_output_type_in_every_dialect(scan, tmp_path, dialect):
    pads = {"pads": [1] * 6} if dialect == "onnx" else {"padding": 1}
    stage = {k: v for k, v in SCORES.items() if k != "padding"} | pads
    spec = spec_file(tmp_path, stage, dialect=dialect)
    volconv.run(spec, scan, tmp_path / "out.nii", output_type="softmax")
    np.testing.assert_allclose(voxels(tmp_path / "out.nii").sum(axis=-1), 1, rtol=1e-5)


def test_output_type_for_each_of_several_outputs(scan, tmp_path):
    spec = spec_file(tmp_path, SCORES, {**SCORES, "name": "more", "input": "input"}, outputs=["scores", "more"])
    summary = volconv.run(spec, scan, tmp_path / "out.nii", output_type="argmax")
    assert [entry["stage"] for entry in summary["outputs"]] == ["scores_argmax", "more_argmax"]
    assert (tmp_path / "out_more_argmax.nii").exists()


@pytest.mark.parametrize(
    ("stages", "kind", "message"),
    [
        ([SCORES, ARGMAX], "softmax", "the output 'seg' of this spec is argmax already"),
        ([SCORES, ARGMAX, {"op": "LargestComponent"}], "features", "'LargestComponent' of this spec is argmax already"),
        ([SCORES, {"op": "Softmax"}], "argmax", "the output 'Softmax' of this spec is softmax already"),
        ([{"op": "Sigmoid"}], "argmax", "'Sigmoid' has one channel, expected several"),
        ([SCORES], "labels", "found output_type 'labels', expected one of features, softmax, argmax"),
    ],
)
def test_output_type_against_the_spec(scan, tmp_path, stages, kind, message):
    with pytest.raises(UsageError, match=message):
        volconv.plan(spec_file(tmp_path, *stages), scan, output_type=kind)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_scores_of_many_classes_exist_for_a_tile_only(tmp_path, kernel_size):
    large = tmp_path / "large.nii"
    nib.save(nib.Nifti1Image(np.zeros((256, 256, 256), "u1"), np.eye(4)), large)
    random = {"init": "default", "seed": 1}
    head = {"op": "Conv3d", "out_channels": 104, "kernel_size": kernel_size, "padding": kernel_size // 2}
    spec = spec_file(
        tmp_path,
        {"op": "Conv3d", "out_channels": 5, "kernel_size": 3, "padding": 1, "weight": random},
        {"op": "ReLU"},
        {**head, "weight": random},
        ARGMAX,
    )
    for memory in ("1500MB", "400MB"):
        plan = volconv.plan(spec, large, tmp_path / "seg.nii.gz", memory=memory, threads=2)
        assert plan.peak_bytes <= int(memory[:-2]) * 10**6
        assert plan.arena_bytes < 104 * 256**3  # a fourth of the scores
    for kind in ("softmax", "argmax"):
        stages = [{"op": "ReLU"}, {**head, "weight": random}]
        spec = spec_file(tmp_path, *stages)
        assert volconv.plan(spec, large, output_type=kind, memory="1500MB").peak_bytes <= 1500e6


def test_convert_keeps_the_intent(scan, tmp_path):
    volconv.run(spec_file(tmp_path, {"op": "Threshold", "threshold": 0}), scan, tmp_path / "a.nii.gz")
    convert(tmp_path / "a.nii.gz", tmp_path / "b.h5")
    convert(tmp_path / "b.h5", tmp_path / "c.nii")
    assert nib.load(tmp_path / "c.nii").header["intent_code"] == 1002
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["data"].attrs["intent"] = 3  # another program's
    convert(tmp_path / "b.h5", tmp_path / "d.nii")
    assert nib.load(tmp_path / "d.nii").header["intent_code"] == 0
    np.testing.assert_array_equal(voxels(tmp_path / "d.nii"), voxels(tmp_path / "a.nii.gz"))

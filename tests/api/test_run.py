import importlib
import json
import threading
from dataclasses import fields

import h5py
import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import center_of_mass, gaussian_filter

import volconv
from volconv.api.options import Options, make_options
from volconv.errors import (
    BudgetError,
    FormatError,
    MissingFileError,
    OutputError,
    ShapeError,
    SpecError,
    UsageError,
    WeightsError,
)
from volconv.formats.nifti_source import NiftiSource
from volconv.formats.record import read_record
from volconv.run.events import ignore

api_run = importlib.import_module("volconv.api.run")

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.4) @ np.diag([-0.9, 1.1, 2.5]), [12.0, -30.0, 5.0]
)


@pytest.fixture
def scan(tmp_path):
    """A blob on an oblique, anisotropic grid, off centre."""
    i, j, k = np.indices((40, 36, 24))
    blob = 1000 * np.exp(-((i - 19.3) ** 2 / 18 + (j - 17.8) ** 2 / 18 + (k - 11.6) ** 2 / 6))
    image = nib.Nifti1Image(blob.astype("f4"), OBLIQUE)
    image.set_qform(OBLIQUE, code=1)
    image.set_sform(OBLIQUE, code=1)
    path = tmp_path / "scan.nii.gz"
    nib.save(image, path)
    return path


def spec_file(tmp_path, *stages, **more):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"volconv": 1, "stages": list(stages), **more}))
    return path


def blob_mm(path):
    image = nib.load(path)
    data = image.get_fdata()
    return nib.affines.apply_affine(image.affine, center_of_mass(data if data.ndim == 3 else data[..., 0]))


def test_a_gaussian_in_millimetres_is_scipys(scan, tmp_path):
    out = tmp_path / "out.nii.gz"
    summary = volconv.run("gaussian", scan, out, settings={"sigma": "2mm"})
    image = nib.load(scan)
    sigma = 2 / np.array(image.header.get_zooms(), float)
    expected = gaussian_filter(image.get_fdata(), sigma, mode="nearest", truncate=4.0)
    found = nib.load(out)
    assert np.abs(found.get_fdata() - expected).max() <= 1e-5 * np.ptp(image.get_fdata())
    np.testing.assert_array_equal(found.affine, image.affine)
    assert found.header["sform_code"] == found.header["qform_code"] == 1
    assert summary["outputs"][0]["shape"] == [24, 36, 40]


DELTA = [[[[[0, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]]]]


@pytest.mark.parametrize(
    "stage",
    [
        {"op": "Conv3d", "stride": 2, "padding": 3, "weight": {"generator": "gaussian", "sigma": 1, "truncate": 3}},
        {"op": "Conv3d", "stride": [1, 2, 3], "padding": "valid", "weight": DELTA},
        {"op": "Conv3d", "weight": {"generator": "mean", "size": [3, 5, 7]}},
        {"op": "Conv3d", "padding": [2, 0, 1], "dilation": 2, "weight": DELTA},
        {"op": "ConvTranspose3d", "stride": 2, "padding": 1, "weight": {"generator": "gaussian", "sigma": 1}},
        {"op": "ConvTranspose3d", "stride": [3, 1, 2], "output_padding": [1, 0, 1], "kernel_size": [3, 3, 3],
         "weight": {"generator": "gaussian", "sigma": 1.2}},
    ],
)  # fmt: skip
def test_a_blob_stays_where_it_is_in_the_world(scan, tmp_path, stage):
    out = tmp_path / "out.nii"
    volconv.run(spec_file(tmp_path, stage), scan, out)
    # even taps of a strided transposed kernel weigh phases unequally: the blob is wide enough for that not to matter
    assert np.abs(blob_mm(out) - blob_mm(scan)).max() < 0.01
    header = nib.load(out).header
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "h5", "hdr"])
def test_any_cut_gives_the_same_bytes(scan, tmp_path, ending):
    random = {"init": "default", "seed": 1}
    spec = spec_file(
        tmp_path,
        {"op": "Conv3d", "out_channels": 3, "kernel_size": 3, "stride": [1, 2, 1], "padding": 1, "weight": random},
        {"op": "SiLU"},
        {"op": "ConvTranspose3d", "out_channels": 2, "kernel_size": 2, "stride": 2, "weight": random},
    )  # fmt: skip
    files = []
    for n, options in enumerate(
        [{}, {"tile": "whole"}, {"tile": (16, 16, 16)}, {"tile": (33, 7, 64), "threads": 1}, {"memory": "400MB"}]
    ):
        out = tmp_path / f"out{n}.{ending}"
        volconv.run(spec, scan, out, **options)
        files.append((out if ending != "hdr" else out.with_suffix(".img")).read_bytes())
    assert len(set(files)) == 1


def test_one_scan_in_many_orders_is_one_scan_in_the_world(scan, tmp_path):
    image = nib.load(scan)
    reference = None
    for code in ("RAS", "LAS", "LPI", "SAR", "IAL", "AIL"):
        turned = nib.as_closest_canonical(image).as_reoriented(
            nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(code))
        )
        path, out = tmp_path / f"{code}.nii.gz", tmp_path / f"{code}_out.nii.gz"
        nib.save(turned, path)
        volconv.run("gaussian", path, out, settings={"sigma": "3mm"})
        back = nib.as_closest_canonical(nib.load(out))
        assert nib.aff2axcodes(nib.load(out).affine) == tuple(code)
        reference = back.get_fdata() if reference is None else reference
        np.testing.assert_allclose(back.get_fdata(), reference, atol=1e-6 * np.ptp(image.get_fdata()))


def test_several_outputs_and_saved_stages(scan, tmp_path):
    stages = [
        {"op": "Conv3d", "name": "a", "weight": {"generator": "gradient"}, "padding": "same"},
        {"op": "VectorNorm", "name": "b"},
    ]
    both = spec_file(tmp_path, *stages, outputs=["a", "b"])
    volconv.run(both, scan, tmp_path / "out.nii.gz")
    assert nib.load(tmp_path / "out_a.nii.gz").shape == (40, 36, 24, 3)
    assert nib.load(tmp_path / "out_b.nii.gz").shape == (40, 36, 24)
    volconv.run(both, scan, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["a"].shape == (3, 24, 36, 40)
        np.testing.assert_array_equal(file["b"][()].T, nib.load(tmp_path / "out_b.nii.gz").get_fdata())
    one = spec_file(tmp_path, *stages)
    volconv.run(one, scan, tmp_path / "plain.nii.gz")
    volconv.run(one, scan, tmp_path / "main.nii.gz", save={"a": str(tmp_path / "saved.nii.gz")})
    assert (tmp_path / "main.nii.gz").read_bytes() == (tmp_path / "plain.nii.gz").read_bytes()
    np.testing.assert_array_equal(
        nib.load(tmp_path / "saved.nii.gz").get_fdata(), nib.load(tmp_path / "out_a.nii.gz").get_fdata()
    )


def test_the_record_says_what_was_done_and_nothing_of_how(scan, tmp_path):
    out = tmp_path / "out.nii.gz"
    summary = volconv.run("gaussian", scan, out, settings={"sigma": "2mm"}, threads=1, memory="1GB", sidecar=True)
    record = read_record(out)
    assert record == summary["record"]
    assert record["parameters"]["sigma"] == "2mm"
    assert record["inputs"][0]["name"] == "scan.nii.gz"
    assert not {"threads", "memory", "tile"} & set(record["options"])
    assert str(tmp_path) not in json.dumps(record)
    sidecar = json.loads((tmp_path / "out.json").read_text())
    assert sidecar["record"] == record
    assert sidecar["plan"]["tiles"]["count"] >= 1


def test_skip_existing_trusts_the_record(scan, tmp_path):
    out = tmp_path / "out.nii.gz"
    first = volconv.run("gaussian", scan, out, settings={"sigma": "2mm"})
    assert not first["skipped"]
    before = out.stat().st_mtime_ns
    depfile = tmp_path / "out.d"
    assert volconv.run("gaussian", scan, out, settings={"sigma": "2mm"}, skip_existing=True, depfile=depfile)["skipped"]
    assert depfile.read_text().startswith(f"{out}: {scan}")
    assert out.stat().st_mtime_ns == before
    with pytest.raises(OutputError, match="exists and was not skipped: it is not whole, or was made from") as caught:
        volconv.run("gaussian", scan, out, settings={"sigma": "3mm"}, skip_existing=True)
    assert (caught.value.code, caught.value.file) == ("output.exists", str(out))
    with pytest.raises(OutputError, match=r"nii\.gz: exists; name another output"):
        volconv.run("gaussian", scan, out, settings={"sigma": "2mm"})
    assert not volconv.run("gaussian", scan, out, settings={"sigma": "3mm"}, skip_existing=True, force=True)["skipped"]
    out.write_bytes(out.read_bytes()[:-9])
    with pytest.raises(OutputError):
        volconv.run("gaussian", scan, out, settings={"sigma": "3mm"}, skip_existing=True)


def test_outputs_that_are_not_skipped_together(scan, tmp_path):
    both = spec_file(tmp_path, {"op": "ReLU", "name": "a"}, {"op": "ReLU", "name": "b"}, outputs=["a", "b"])
    volconv.run(both, scan, tmp_path / "out.nii")
    (tmp_path / "out_b.nii").unlink()
    with pytest.raises(OutputError, match=r"out_a\.nii: exists and was not skipped: an output is missing, not whole"):
        volconv.run(both, scan, tmp_path / "out.nii", skip_existing=True)


def test_outputs_in_one_hdf5_file(scan, tmp_path):
    stages = {"op": "ReLU", "name": "a"}, {"op": "ReLU", "name": "b"}
    one, out = spec_file(tmp_path, *stages), tmp_path / "o.h5"
    for output, saved in ((f"{out}:/x/b", f"{out}:/x/a"), (out, f"{out}:/a"), (f"{out}:/b", out)):
        with pytest.raises(UsageError, match=r"two names cannot share; list both .* give .*o\.h5 alone") as caught:
            volconv.run(one, scan, output, save={"a": saved})
        assert caught.value.code == "output.twice"
    with pytest.raises(UsageError, match="two outputs have this name"):
        volconv.run(one, scan, f"{out}:/a", save={"a": f"{out}:/a"})
    both = spec_file(tmp_path, *stages, outputs=["a", "b"])
    with pytest.raises(UsageError, match="two names cannot share"):
        volconv.run(both, scan, out, save={"a": f"{out}:/c"})
    with pytest.raises(UsageError, match="two outputs have this name"):
        volconv.run(both, scan, out, save={"a": f"{out}:/b"})
    seen = []
    volconv.run(both, scan, out, on_event=seen.append)
    assert seen[-1].outputs == (f"{out}:/a", f"{out}:/b")


def test_the_docstring_names_every_option():
    words = " ".join(volconv.run.__doc__.replace("``", "").split())
    listed = words.partition("**options ")[2].partition(":")[0].split()
    assert sorted(listed) == sorted(option.name for option in fields(Options))


def test_another_dataset_of_a_file_is_another_input(tmp_path):
    values = np.random.default_rng(0).random((2, 5, 6, 7)).astype("f4")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for name, volume in zip("ab", values, strict=True):
            file[name] = volume
            file[name].attrs["axes"] = "zyx"
    scan, out, options = f"{tmp_path / 'two.h5'}", tmp_path / "out.nii", {"settings": {"sigma": "1voxel"}}
    first = volconv.run("gaussian", f"{scan}:/a", out, **options)
    assert [(entry["name"], entry["dataset"]) for entry in first["record"]["inputs"]] == [("two.h5", "/a")]
    assert volconv.run("gaussian", f"{scan}:/a", out, skip_existing=True, **options)["skipped"]
    with pytest.raises(OutputError):
        volconv.run("gaussian", f"{scan}:/b", out, skip_existing=True, **options)


def test_the_depfile_names_everything_that_was_read(scan, tmp_path):
    weights = tmp_path / "w$.npz"
    np.savez(weights, **{"c.weight": np.ones((1, 1, 1, 1, 1), "f4"), "c.bias": np.zeros(1, "f4")})
    spec = spec_file(tmp_path, {"op": "Conv3d", "name": "c"}, weights="w$.npz")
    volconv.run(spec, scan, tmp_path / "out.nii", depfile=tmp_path / "out.d")
    rule = (tmp_path / "out.d").read_text()
    assert rule.startswith(f"{tmp_path}/out.nii: ")
    for name in ("scan.nii.gz", "spec.json", "w$$.npz"):
        assert name in rule.splitlines()[0]


def test_several_inputs_are_channels(scan, tmp_path):
    weight = np.zeros((1, 2, 1, 1, 1))
    weight[0, :, 0, 0, 0] = 2, -1
    spec = spec_file(tmp_path, {"op": "Conv3d", "weight": weight.tolist()}, input={"channels": 2})
    volconv.run(spec, [scan, scan], tmp_path / "out.nii")
    np.testing.assert_allclose(nib.load(tmp_path / "out.nii").get_fdata(), nib.load(scan).get_fdata(), atol=1e-3)


def test_a_time_series_is_a_batch(tmp_path):
    data = np.random.default_rng(0).random((7, 6, 5, 4)).astype("f4")
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "t.nii.gz")
    volconv.run("gaussian", tmp_path / "t.nii.gz", tmp_path / "o.nii.gz", settings={"sigma": "1voxel"})
    found = nib.load(tmp_path / "o.nii.gz").get_fdata()
    assert found.shape == data.shape
    np.testing.assert_allclose(found[..., 2], gaussian_filter(data[..., 2], 1, mode="nearest"), atol=1e-5)


def test_axes_decide_which_way_a_kernel_lies(scan, tmp_path):
    stage = {"op": "Conv3d", "padding": "same", "padding_mode": "replicate",
             "weight": {"generator": "gaussian", "sigma": [2, 1, 0.5]}}  # fmt: skip
    for axes, sigma in (("kji", (0.5, 1, 2)), ("ijk", (2, 1, 0.5))):
        out = tmp_path / f"{axes}.nii"
        volconv.run(spec_file(tmp_path, stage, input={"axes": axes}), scan, out)
        expected = gaussian_filter(nib.load(scan).get_fdata(), sigma, mode="nearest")
        np.testing.assert_allclose(nib.load(out).get_fdata(), expected, atol=1e-2)
        np.testing.assert_array_equal(nib.load(out).affine, nib.load(scan).affine)


def test_axes_that_nobody_said_are_said_to_be_assumed(tmp_path):
    two = spec_file(tmp_path, {"op": "ReLU"}, input={"channels": 2})
    name, out = tmp_path / "a.h5", tmp_path / "o.h5"
    with h5py.File(name, "w") as file:
        file["raw"] = np.zeros((5, 6, 4, 2), "f4")
    with pytest.raises(ShapeError, match=r"a\.h5 does not say its axes and czyx were assumed \(--axes says") as caught:
        volconv.run(two, name, out)
    assert caught.value.code == "volume.channels"
    assert caught.value.found.startswith("an input of 5 channels")
    assert caught.value.expected == "2 (input.channels)"
    with pytest.raises(ShapeError) as caught:
        volconv.run(two, name, out, axes="czyx")
    assert caught.value.message == "found an input of 5 channels, expected 2 (input.channels)"
    volconv.run(two, name, out, axes="zyxc")


def mean_of(size):
    return {"op": "Conv3d", "weight": {"generator": "mean", "size": size}}


def faulty(tmp_path, scan):
    """Name, arguments, and what must come of it."""
    conv = {"op": "Conv3d", "out_channels": 2, "kernel_size": 3}
    good = spec_file(tmp_path, {"op": "ReLU"})
    (tmp_path / "exists.nii").write_bytes(b"precious")
    (tmp_path / "text.nii").write_text("no volume")
    (tmp_path / "cut.nii.gz").write_bytes(scan.read_bytes()[:-50])
    out = tmp_path / "out.nii"

    def spec(name, *stages, **more):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"volconv": 1, "stages": list(stages), **more}))
        return path

    return {
        "spec missing": (tmp_path / "no.yaml", scan, out, {}, MissingFileError, 2),
        "unknown preset": ("gausian", scan, out, {}, UsageError, 2),
        "input missing": (good, tmp_path / "no.nii", out, {}, MissingFileError, 2),
        "input is text": (good, tmp_path / "text.nii", out, {}, FormatError, 3),
        "input cut short": (good, tmp_path / "cut.nii.gz", out, {}, FormatError, 3),
        "output exists": (good, scan, tmp_path / "exists.nii", {}, OutputError, 2),
        "output is the input": (good, scan, scan, {"force": True}, OutputError, 2),
        "folder missing": (good, scan, tmp_path / "no" / "out.nii", {}, OutputError, 2),
        "no such format": (good, scan, tmp_path / "out.mgz", {}, UsageError, 2),
        "no weights": (spec("nw", conv), scan, out, {}, SpecError, 3),
        "weights missing": (spec("wm", conv, weights="no.npz"), scan, out, {}, SpecError, 3),
        "weights option missing": (spec("wo", conv), scan, out, {"weights": tmp_path / "no.npz"}, MissingFileError, 2),
        "weight of another shape": (spec("ws", {**conv, "weight": [[[[[1]]]]]}), scan, out, {}, WeightsError, 3),
        "wrong channels": (spec("wc", {"op": "ReLU"}, input={"channels": 4}), scan, out, {}, ShapeError, 3),
        "unknown op": (spec("uo", {"op": "Conv3D"}), scan, out, {}, SpecError, 3),
        "unknown key": (spec("uk", {**conv, "strides": 2}), scan, out, {}, SpecError, 3),
        "bad setting": ("gaussian", scan, out, {"settings": {"sigma": "wide"}}, UsageError, 2),
        "setting out of range": ("gaussian", scan, out, {"settings": {"sigma": 0}}, UsageError, 2),
        "unknown setting": ("gaussian", scan, out, {"settings": {"sigme": "2mm"}}, UsageError, 2),
        "saved stage unknown": (good, scan, out, {"save": {"x": "y.nii"}}, UsageError, 2),
        "no memory": (good, scan, out, {"memory": "10MB"}, volconv.VolconvError, 4),
        "kernel too large": (spec("kl", mean_of(99)), scan, out, {}, ShapeError, 3),
    }  # fmt: skip


def test_faults_are_one_clear_error_and_leave_nothing(tmp_path, scan):
    for name, (spec, source, out, options, kind, code) in faulty(tmp_path, scan).items():
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(kind) as caught:
            volconv.run(spec, source, out, **options)
        assert caught.value.exit_code == code, name
        assert "\n" not in str(caught.value), name
        assert len(str(caught.value)) < 600, name
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before, name
        assert not any(path.is_dir() for path in tmp_path.iterdir()), name


def test_a_scratch_folder_of_ones_own_stays(scan, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "mine").write_text("kept")
    volconv.run("gaussian", scan, tmp_path / "out.nii.gz", scratch=scratch)
    assert [path.name for path in scratch.iterdir()] == ["mine"]


def test_an_empty_scratch_folder_of_ones_own_stays_too(scan, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    volconv.run("gaussian", scan, tmp_path / "out.nii.gz", scratch=scratch)
    assert scratch.is_dir()


GRADIENT = {"op": "Conv3d", "name": "g", "padding": "same", "weight": {"generator": "gradient"}}


def test_one_file_a_channel_is_skipped_refused_and_depended_on_file_by_file(scan, tmp_path):
    spec, out, rule = spec_file(tmp_path, GRADIENT), tmp_path / "out.nii.gz", tmp_path / "out.d"
    files = [tmp_path / f"out_ch0{c}.nii.gz" for c in range(3)]
    summary = volconv.run(spec, scan, out, channels="split", depfile=rule)
    assert summary["outputs"][0]["files"] == list(map(str, files))
    assert rule.read_text().splitlines()[0] == f"{' '.join(map(str, files))}: {scan} {spec}"
    assert volconv.run(spec, scan, out, channels="split", skip_existing=True)["skipped"]
    with pytest.raises(OutputError, match="out_ch00"):
        volconv.plan(spec, scan, out, channels="split")
    files[1].unlink()
    with pytest.raises(OutputError, match="out_ch00"):
        volconv.run(spec, scan, out, channels="split", skip_existing=True)
    assert not volconv.run(spec, scan, out, channels="split", skip_existing=True, force=True)["skipped"]
    assert files[1].exists()


def test_nothing_that_is_read_is_ever_written(scan, tmp_path):
    pair = tmp_path / "pair.hdr"
    nib.save(nib.Nifti1Pair(nib.load(scan).get_fdata().astype("f4"), OBLIQUE), pair)
    spec, weights = spec_file(tmp_path, {"op": "Conv3d", "weight": "w", "bias": False}), tmp_path / "w.npz"
    np.savez(weights, w=np.ones((1, 1, 3, 3, 3)))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for source, out, options in [
        (scan, "out.nii", {"depfile": scan}),
        (scan, "out.nii", {"depfile": scan, "skip_existing": True}),
        (scan, "out.nii", {"depfile": weights}),
        (scan, "out.nii", {"depfile": tmp_path / "out.nii"}),
        (scan, "out.hdr", {"depfile": tmp_path / "out.img"}),
        (scan, "spec.nii", {"sidecar": True}),
        (pair, "pair.img", {}),
        (tmp_path / "pair.img", "pair.hdr", {}),
        (pair, "out.nii", {"depfile": tmp_path / "pair.img"}),
    ]:
        for call in (volconv.run, volconv.plan) if "skip_existing" not in options else (volconv.run,):
            with pytest.raises(OutputError):
                call(spec, source, tmp_path / out, weights=weights, force=True, **options)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_older_sidecar_is_replaced_by_force_alone(scan, tmp_path):
    (tmp_path / "out.json").write_text("mine")
    with pytest.raises(OutputError, match=r"out\.json: exists"):
        volconv.run("gaussian", scan, tmp_path / "out.nii", sidecar=True, settings={"sigma": 1})
    volconv.run("gaussian", scan, tmp_path / "out.nii", sidecar=True, settings={"sigma": 1}, force=True)
    assert json.loads((tmp_path / "out.json").read_text())["outputs"]


def test_what_is_refused_is_refused_before_an_input_is_read_whole(scan, tmp_path, monkeypatch):
    def digest(_):
        raise AssertionError("read whole")

    monkeypatch.setattr(NiftiSource, "digest", digest)
    out = tmp_path / "out.nii"
    for options, kind in [
        ({"memory": "10MB"}, BudgetError),
        ({"scratch": tmp_path / "no" / "scratch"}, OutputError),
        ({"depfile": tmp_path / "no" / "out.d"}, OutputError),
    ]:
        with pytest.raises(kind):
            volconv.run("gaussian", scan, out, **options)
    out.write_bytes(scan.read_bytes())
    with pytest.raises(OutputError):  # carries no record, so nothing need be compared
        volconv.run("gaussian", scan, out, skip_existing=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_numpy_numbers_are_numbers(scan, tmp_path):
    settings = {"sigma": np.array([1.0, 2.0, 3.0]), "order": np.int64(0), "truncate": np.float32(3)}
    out = tmp_path / "out.nii"
    summary = volconv.run("gaussian", scan, out, settings=settings, tile=np.array([8, 9, 10]), spacing=None)
    assert summary["record"]["options"]["set"] == {"sigma": [1.0, 2.0, 3.0], "order": 0, "truncate": 3.0}
    with pytest.raises(UsageError, match="tile"):
        volconv.run("gaussian", scan, out, tile=(8.5, 8, 8), force=True)


@pytest.mark.parametrize("ending", ["nii.gz", "h5"])
def test_the_smallest_budget_a_refusal_names_does(tmp_path, ending):
    source, out = tmp_path / "large.nii.gz", tmp_path / f"out.{ending}"
    nib.save(nib.Nifti1Image(np.zeros((128, 128, 512), np.uint8), np.eye(4)), source)
    spec = spec_file(tmp_path, GRADIENT, {"op": "VectorNorm"})
    for tile in (None, (16, 16, 16)):
        with pytest.raises(BudgetError, match=r"--memory \d+MiB") as caught:
            volconv.plan(spec, source, out, memory="10MB", tile=tile)
        named = int(str(caught.value).split("--memory ")[1].split("MiB")[0])
        made = volconv.plan(spec, source, out, memory=f"{named}MiB", tile=tile)
        assert made.peak_bytes <= named * 2**20
        with pytest.raises(BudgetError):
            volconv.plan(spec, source, out, memory=f"{named - 1}MiB", tile=tile)


def test_nothing_is_made_after_an_interruption(scan, tmp_path):
    """Compiling or unpacking may take longer than the interrupted caller waits for; what it undid is undone by then."""
    plain, stop = tmp_path / "scan.nii", threading.Event()
    nib.save(nib.load(scan), plain)
    job = api_run.open_job("gaussian", plain, tmp_path / "out.nii", make_options())
    try:
        api_run.open_sinks(job, records=False)
        plan = api_run.plan_job(job)
        before = sorted(tmp_path.iterdir())
        stop.set()
        api_run._compute(job, plan, ignore, stop)
        assert sorted(tmp_path.iterdir()) == before
    finally:
        for sink in job.sinks:
            sink.abort()
        job.close()


def test_inputs_are_hashed_once(scan, tmp_path, monkeypatch):
    out, hashed, digest = tmp_path / "out.nii.gz", [], NiftiSource.digest
    volconv.run("gaussian", scan, out)
    nib.save(nib.Nifti1Image(nib.load(scan).get_fdata().astype("f4") + 1, OBLIQUE), scan)
    monkeypatch.setattr(NiftiSource, "digest", lambda source: hashed.append(source) or digest(source))
    assert not volconv.run("gaussian", scan, out, skip_existing=True, force=True)["skipped"]
    assert len(hashed) == 1

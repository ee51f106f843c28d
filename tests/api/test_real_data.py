"""Real scans, where they are at hand."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import volconv

DATA = os.environ.get("VOLCONV_TEST_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="VOLCONV_TEST_DATA is not set")
VOLUMES = Path(DATA or ".") / "volumes"


def check_gaussian(name, tmp_path, sigma_mm=2.0):
    out = tmp_path / "out.nii.gz"
    volconv.run("gaussian", VOLUMES / name, out, settings={"sigma": f"{sigma_mm}mm"})
    scan, found = nib.load(VOLUMES / name), nib.load(out)
    values = scan.get_fdata()
    sigma = sigma_mm / np.array(scan.header.get_zooms()[:3], float)
    expected = gaussian_filter(values, sigma, mode="nearest", truncate=4.0)
    assert np.abs(found.get_fdata() - expected).max() <= 1e-5 * np.ptp(values)
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-5)


def test_a_gaussian_on_an_anisotropic_scan(tmp_path):
    check_gaussian("example_ct_sm.nii.gz", tmp_path)
    check_gaussian("edge/standard.nii.gz", tmp_path.joinpath("b").mkdir() or tmp_path / "b", 3.0)


@pytest.mark.slow
def test_a_gaussian_on_a_whole_head(tmp_path):
    check_gaussian("t1_crop.nii.gz", tmp_path)


def test_one_head_in_six_orders(tmp_path):
    reference = None
    for path in sorted(VOLUMES.glob("orient/*.nii.gz")):
        out = tmp_path / path.name
        volconv.run("log", path, out, settings={"sigma": "2mm"})
        before, after = nib.load(path), nib.load(out)
        for code in ("sform_code", "qform_code", "xyzt_units"):
            assert before.header[code] == after.header[code]
        np.testing.assert_allclose(after.header.get_sform(), before.header.get_sform(), atol=1e-5)
        np.testing.assert_allclose(after.header.get_qform(), before.header.get_qform(), atol=1e-4)
        turned = nib.as_closest_canonical(after).get_fdata()
        reference = turned if reference is None else reference
        assert np.abs(turned - reference).max() <= 1e-6 * np.ptp(reference)


@pytest.mark.parametrize("name", ["shear", "minimal", "example_nifti2", "anatomical"])
def test_awkward_headers_survive(name, tmp_path):
    path = next((VOLUMES / "edge").glob(f"{name}.nii*"))
    before = nib.load(path)
    channels = 1
    out = tmp_path / "out.nii.gz"
    volconv.run({"volconv": 1, "stages": [{"op": "Identity"}], "input": {"channels": channels}}, path, out)
    after = nib.load(out)
    np.testing.assert_allclose(np.squeeze(after.get_fdata()), np.squeeze(before.get_fdata()).astype("f4"), rtol=1e-6)
    for key in ("sform_code", "qform_code"):
        assert before.header[key] == after.header[key]
    np.testing.assert_allclose(after.header.get_sform(), before.header.get_sform(), atol=1e-4)
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-4)


def test_complex_values_are_refused(tmp_path):
    with pytest.raises(volconv.VolconvError, match=r"32|complex") as caught:
        volconv.run("gaussian", VOLUMES / "edge" / "complex.nii.gz", tmp_path / "out.nii")
    assert caught.value.exit_code == 3


def test_an_hdf5_of_another_tool(tmp_path):
    source = VOLUMES / "hdf5" / "ilastik_3d2c.h5"
    spec = {"volconv": 1, "stages": [{"op": "VectorNorm"}], "input": {"channels": 2}}
    volconv.run(spec, source, tmp_path / "out.h5", axes="zyxc")
    import h5py

    with h5py.File(source) as theirs, h5py.File(tmp_path / "out.h5") as ours:
        expected = np.linalg.norm(theirs["data"][()].astype("f8"), axis=-1)
        np.testing.assert_allclose(ours["data"][()], expected, rtol=1e-6)


def run_meshnet(scan, out, **options):
    spec = Path(__file__).parent.parent / "cases" / "meshnet.yaml"
    weights = Path(DATA) / "nets" / "brainchop_tissue_fast" / "model.pth"
    volconv.run(spec, VOLUMES / scan, out, weights=weights, **options)
    return nib.load(out)


@pytest.mark.slow
def test_a_trained_network_gives_its_own_frameworks_answer(tmp_path):
    logits = np.asarray(run_meshnet("t1_crop.nii.gz", tmp_path / "out.nii").dataobj)
    folder = Path(DATA) / "nets" / "brainchop_tissue_fast"
    samples = np.load(folder / "full_minmax_samples.npz")
    at = tuple(samples["coords"].astype(int).T)
    tolerance = 2e-5 * np.abs(samples["logits"]).max()
    assert np.abs(logits[at] - samples["logits"]).max() <= tolerance
    labels = np.asarray(nib.load(folder / "full_minmax_labels.nii.gz").dataobj)
    differs = logits.argmax(axis=-1) != labels
    best = np.sort(logits[differs], axis=-1)
    assert differs.sum() <= 5
    assert (best[:, -1] - best[:, -2] <= 2 * tolerance).all()


def test_a_trained_network_at_any_tile(tmp_path):
    files = []
    for n, options in enumerate([{}, {"tile": (57, 40, 24), "threads": 1}, {"memory": "300MB"}]):
        run_meshnet("t1_sub.nii.gz", tmp_path / f"{n}.nii", **options)
        files.append((tmp_path / f"{n}.nii").read_bytes())
    assert len(set(files)) == 1

"""Trained networks with norms, pools and skips, against their framework's answers, and in tiles against themselves."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import volconv

DATA = Path(os.environ.get("VOLCONV_TEST_DATA") or ".")
pytestmark = pytest.mark.skipif("VOLCONV_TEST_DATA" not in os.environ, reason="VOLCONV_TEST_DATA is not set")
CASES = Path(__file__).parent.parent / "cases"
MINDGRAB, HIPPODEEP = DATA / "nets" / "brainchop_mindgrab", DATA / "nets" / "hippodeep_head_unet"
SCAN = DATA / "volumes" / "t1_sub.nii.gz"


def run(case, scan, weights, out, **options):
    volconv.run(CASES / f"{case}.yaml", scan, out, weights=weights, **options)
    return np.asarray(nib.load(out).dataobj)


@pytest.mark.slow
def test_a_meshnet_whose_norms_look_at_the_whole_volume(tmp_path):
    """The bound is 2e-5 of the largest logit; labels differ at most where the two best logits do not decide."""
    logits = run("mindgrab", SCAN, MINDGRAB / "model.pth", tmp_path / "out.nii")
    samples = np.load(MINDGRAB / "sub_x255_samples.npz")
    tolerance = 2e-5 * np.abs(samples["logits"]).max()
    assert np.abs(logits[tuple(samples["coords"].astype(int).T)] - samples["logits"]).max() <= tolerance
    differs = logits.argmax(axis=-1) != np.asarray(nib.load(MINDGRAB / "sub_x255_labels.nii.gz").dataobj)
    best = np.sort(logits[differs], axis=-1)
    assert differs.sum() <= 5
    assert (best[:, -1] - best[:, -2] <= 2 * tolerance).all()


@pytest.mark.slow
def test_a_meshnet_of_norms_at_any_tile(tmp_path):
    files = []
    for n, options in enumerate([{}, {"tile": (57, 40, 24), "threads": 1}, {"memory": "250MB"}]):
        run("mindgrab", SCAN, MINDGRAB / "model.pth", tmp_path / f"{n}.nii", **options)
        files.append((tmp_path / f"{n}.nii").read_bytes())
    assert len(set(files)) == 1


@pytest.mark.slow
def test_a_unet_of_pools_and_skips(tmp_path):
    scan, weights = HIPPODEEP / "input.nii.gz", HIPPODEEP / "params_head_00075_00000.pt"
    found = run("hippodeep", scan, weights, tmp_path / "out.nii")
    expected = np.asarray(nib.load(HIPPODEEP / "ref_sigmoid_4ch.nii.gz").dataobj)
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()
    run("hippodeep", scan, weights, tmp_path / "tiles.nii", tile=(24, 57, 20), threads=1)
    assert (tmp_path / "tiles.nii").read_bytes() == (tmp_path / "out.nii").read_bytes()

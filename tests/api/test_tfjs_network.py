"""A trained network that there is for TensorFlow.js alone, against its framework's answer."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import volconv

DATA = Path(os.environ.get("VOLCONV_TEST_DATA") or ".")
pytestmark = pytest.mark.skipif("VOLCONV_TEST_DATA" not in os.environ, reason="VOLCONV_TEST_DATA is not set")
NET = DATA / "nets" / "brainchop_gwm11_tfjs"
SPEC = Path(__file__).parent.parent / "cases" / "meshnet_tfjs.yaml"


def run(out, weights, **options):
    volconv.run(SPEC, DATA / "volumes" / "t1_sub.nii.gz", out, weights=NET / weights, **options)
    return np.asarray(nib.load(out).dataobj)


def test_its_frameworks_answer(tmp_path):
    """The bound is 2e-5 of the largest logit; labels differ at most where the two best logits do not decide."""
    logits = run(tmp_path / "out.nii", "model.json")
    samples = np.load(NET / "sub_x255_samples.npz")
    tolerance = 2e-5 * np.abs(samples["logits"]).max()
    assert np.abs(logits[tuple(samples["coords"].astype(int).T)] - samples["logits"]).max() <= tolerance
    differs = logits.argmax(axis=-1) != np.asarray(nib.load(NET / "sub_x255_labels.nii.gz").dataobj)
    best = np.sort(logits[differs], axis=-1)
    assert differs.sum() <= 5
    assert (best[:, -1] - best[:, -2] <= 2 * tolerance).all()
    # By the file of numbers, in other tiles: the same.
    np.testing.assert_array_equal(run(tmp_path / "b.nii", "model.bin", tile=(40, 57, 33), threads=1), logits)

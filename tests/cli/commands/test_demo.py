"""`volconv demo` and `volconv warmup`."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest


def test_demo(volconv):
    result = volconv("demo")
    assert result.exit_code == 0, result.stderr
    assert "volconv-demo/edges.nii.gz" in result.stdout
    scan, out = nib.load("volconv-demo/t1_2mm.nii.gz"), nib.load("volconv-demo/edges.nii.gz")
    np.testing.assert_allclose(out.affine, scan.affine, atol=1e-6)
    assert out.shape == scan.shape
    assert np.isfinite(out.get_fdata()).all()


def test_demo_replaces_what_it_wrote_and_nothing_else(volconv):
    Path("volconv-demo").mkdir()
    Path("volconv-demo/mine.txt").write_text("precious")
    assert volconv("demo").exit_code == 0
    first = Path("volconv-demo/edges.nii.gz").read_bytes()
    document = json.loads(volconv("demo", "--json").stdout)
    assert document["preset"] == "edges"
    assert Path("volconv-demo/edges.nii.gz").read_bytes() == first
    assert Path("volconv-demo/mine.txt").read_text() == "precious"
    assert len(list(Path("volconv-demo").iterdir())) == 3


def test_demo_where_it_cannot_write(volconv):
    Path("volconv-demo").write_text("a file")
    result = volconv("demo")
    assert result.exit_code == 2
    assert result.stderr.startswith("volconv: volconv-demo: cannot be made")


@pytest.mark.slow
def test_warmup(volconv):
    result = volconv("warmup", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)

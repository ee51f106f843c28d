"""`volconv demo` and `volconv warmup`."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

SHIPPED = Path(__file__).parents[3] / "sample_data" / "t1_2mm.nii.gz"


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


@pytest.mark.parametrize("name", ["t1_2mm.nii.gz", "edges.nii.gz"])
def test_demo_replaces_no_file_of_another(volconv, name):
    assert volconv("run", "mean", SHIPPED, "-o", "mine.nii.gz").exit_code == 0
    for precious in (b"precious", Path("mine.nii.gz").read_bytes()):
        Path("volconv-demo").mkdir(exist_ok=True)
        path = Path("volconv-demo", name)
        path.write_bytes(precious)
        result = volconv("demo", "--json")
        assert result.exit_code == 2
        assert result.stderr.startswith(f"volconv: volconv-demo/{name}: exists and was not written by the demo")
        assert result.stderr.count("\n") == 1
        assert json.loads(result.stdout)["error"]["code"] == "output.exists"
        assert [path.name for path in Path("volconv-demo").iterdir()] == [name]
        assert path.read_bytes() == precious


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

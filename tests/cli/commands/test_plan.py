"""`volconv plan` and `run --dry-run`."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from volconv.weights.registry import FORMATS


@pytest.fixture
def scan(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((20, 16, 12), np.uint8), np.diag([1, 1, 2, 1])), tmp_path / "scan.nii")
    return tmp_path


def test_table(volconv, scan):
    result = volconv("plan", "edges", "scan.nii")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    for word in ("stage", "Conv3d", "12x16x20", "memory", "scratch"):
        assert word in result.stdout
    assert sorted(path.name for path in scan.iterdir()) == ["scan.nii"]


def test_json(volconv, scan):
    document = json.loads(volconv("plan", "edges", "scan.nii", "--tile", "8,8,8", "--json").stdout)
    assert document["tiles"]["grid"] == [2, 2, 3]
    assert document["peak_bytes"] > 0
    assert scan.exists()


def test_dry_run_says_what_plan_says(volconv, scan):
    words = ("gaussian", "scan.nii", "-o", "out.nii", "--set", "sigma=2mm", "--memory", "1GB")
    planned = volconv("plan", *words)
    dry = volconv("run", "-n", *words)
    assert dry.exit_code == planned.exit_code == 0
    assert dry.stdout == planned.stdout
    assert volconv("run", "--dry-run", *words, "--json").stdout == volconv("plan", *words, "--json").stdout
    assert sorted(path.name for path in scan.iterdir()) == ["scan.nii"]


@pytest.mark.parametrize(("spec", "scan_name"), [("gaussian", "scan.nii"), ("edges", "scan.nii.gz")])
def test_loads_nothing_that_it_has_no_use_for(scan, spec, scan_name):
    nib.save(nib.load(scan / "scan.nii"), scan / "scan.nii.gz")
    code = (
        "import sys\nfrom volconv.cli.main import main\ntry:\n    main()\nfinally:\n    print('LOADED', *sys.modules)\n"
    )
    line = [sys.executable, "-c", code, "plan", spec, scan_name]
    done = subprocess.run(line, cwd=scan, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED ", 1)[1].split())
    assert not loaded & {"numba", "llvmlite", "nibabel", "h5py", "scipy", "ml_dtypes", "rich", "email", "secrets"}
    assert not loaded & {"importlib.metadata", "importlib.resources", "volconv.spec.json_tree"}
    assert not [name for name in loaded if name.startswith(("volconv.engine", "volconv.run", "volconv.formats.hdf5"))]
    readers = {f"volconv.weights.{module}" for module, _ in FORMATS}
    assert not loaded & {*readers, "volconv.weights.registry", "volconv.weights.foreign"}
    dialects = {name for name in loaded if name.startswith("volconv.ops.dialects.")}
    assert dialects == {"volconv.ops.dialects.torch"}
    assert "volconv.ops.conv3d" in loaded
    assert not loaded & {f"volconv.ops.{name}" for name in ("pool_reader", "resample_reader", "pad_readers", "pad")}

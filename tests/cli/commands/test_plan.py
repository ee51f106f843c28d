"""`volconv plan` and `run --dry-run`."""

import json

import nibabel as nib
import numpy as np
import pytest


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


def test_never_loads_numba(scan):
    import subprocess
    import sys

    code = (
        "import sys\nfrom volconv.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print('LOADED', 'numba' in sys.modules)\n"
    )
    line = [sys.executable, "-c", code, "plan", "edges", "scan.nii"]
    done = subprocess.run(line, cwd=scan, capture_output=True, text=True, check=False)
    assert "LOADED False" in done.stdout, done.stderr

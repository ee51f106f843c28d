"""The promise of `--memory`, kept by real processes; `python -m benchmarks.memory` prints the whole table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory import MIB, measure
from benchmarks.memory_cases import CASES, INPUTS, OUTPUTS, write_mask, write_volume

NAMES = [case.name for case in CASES]
MEASURED = (
    "gaussian",
    "32 to 32, Winograd",
    "U-Net, Concat",
    "norms in phases",
    "there and back",
    "104 classes",
    "largest component",
    "float64",
    "features, gzip.h5 to nii.gz",
)
LARGE = 400 * MIB
"""From here on the parts that are the same for every run hardly count."""


def test_the_table_covers_what_there_is():
    assert len(set(NAMES)) == len(NAMES)
    assert len({json.dumps(case.spec, sort_keys=True) for case in CASES}) >= 40
    assert {case.source for case in CASES} == set(INPUTS)
    assert {case.target for case in CASES} == set(OUTPUTS)
    assert set(MEASURED) <= set(NAMES)


def test_every_pipeline_can_be_planned(tmp_path):
    import volconv

    for source in INPUTS:
        write_volume(tmp_path / f"scan.{source}", source, (16, 20, 24))
    write_mask(tmp_path / "mask.nii", (16, 20, 24))
    for case in CASES:
        (tmp_path / "spec.json").write_text(json.dumps(case.spec))
        assert volconv.plan(tmp_path / "spec.json", tmp_path / f"scan.{case.source}").peak_bytes > 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads peaks as Linux counts them")
@pytest.mark.parametrize("name", MEASURED)
def test_no_run_takes_more_than_its_budget(name):
    (case,) = (case for case in CASES if case.name == name)
    for row in measure(case, threads=2):
        assert row.real <= row.budget
        assert row.predicted <= row.budget
        if row.real > LARGE and name not in ("largest component",):
            assert row.ratio < 1.2


@pytest.mark.slow
def test_a_refusal_under_a_cold_cache_comes_before_any_work(tmp_path):
    """Compiling takes memory too, of processes of their own: a budget that is too small for it is refused."""
    (case,) = (case for case in CASES if case.name == "gaussian")
    for row in measure(case, threads=2, cold=True):
        assert row.real <= row.budget
    assert Path(tmp_path).exists()
    assert subprocess.run([sys.executable, "-m", "volconv", "--version"], check=False).returncode == 0

"""The promise of `--memory`, kept by real processes; `python -m benchmarks.memory` prints the whole table."""

import json
import sys

import pytest

import volconv
from benchmarks.memory import MIB, measure, run_once
from benchmarks.memory_cases import CASES, INPUTS, OUTPUTS, write_mask, write_volume

NAMES = [case.name for case in CASES]
MEASURED = (
    "gaussian",
    "32 to 32, Winograd",
    "U-Net, Concat",
    "norms in phases",
    "there and back",
    "104 classes",
    "gated by means",
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
@pytest.mark.skipif(sys.platform != "linux", reason="reads peaks as Linux counts them")
def test_compiling_keeps_within_the_budget_or_is_refused(tmp_path):
    """With no kernels at hand a tight budget is refused before any work, with one that does."""
    (case,) = (case for case in CASES if case.name == "norms in phases")
    (tmp_path / "spec.json").write_text(json.dumps(case.spec))
    write_volume(tmp_path / "scan.nii", "nii", (16, 20, 24))
    (tmp_path / "cache").mkdir()
    with pytest.raises(RuntimeError, match=r"give --memory 288MiB or more this once"):
        run_once(case.words(tmp_path), 200 * MIB, 2, tmp_path / "cache")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "scan.nii", "spec.json"]
    _, real = run_once(case.words(tmp_path), 288 * MIB, 2, tmp_path / "cache")
    assert real <= 288 * MIB
    _, real = run_once([*case.words(tmp_path), "--force"], 200 * MIB, 2, tmp_path / "cache")
    assert real <= 200 * MIB

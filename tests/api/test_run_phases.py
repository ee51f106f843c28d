"""Whole runs in phases: files in, files out, under budgets that send wires to disk, with predicted and real peaks."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

import volconv
from volconv.errors import BudgetError
from volconv.plan.cost import BASELINE_BYTES
from volconv.run.events import Started, TileDone

MIB = 2**20


def conv(name, channels, seed, **more):
    return {"op": "Conv3d", "name": name, "kernel_size": 3, "padding": 1, "out_channels": channels,
            "weight": {"init": "default", "seed": seed}, **more}  # fmt: skip


STAGES = [
    conv("a", 16, 0), {"op": "InstanceNorm3d", "name": "na"}, {"op": "LeakyReLU", "name": "ra"},
    conv("b", 16, 1, stride=2), {"op": "GroupNorm", "num_groups": 4, "affine": False, "name": "nb"},
    {"op": "ConvTranspose3d", "name": "up", "kernel_size": 2, "stride": 2, "out_channels": 16,
     "weight": {"init": "default", "seed": 2}},
    {"op": "Add", "name": "skip", "inputs": ["up", "ra"]}, {"op": "InstanceNorm3d", "name": "nc"}, conv("out", 1, 3),
]  # fmt: skip
SPEC = {"volconv": 1, "name": "net", "stages": STAGES}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("phases") / "x.nii.gz"
    values = np.random.default_rng(0).standard_normal((30, 34, 38)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


@pytest.fixture(scope="module")
def expected(scan):
    """The result of the Python layer, whole, and that of a stage in the middle."""
    x = nib.load(scan).get_fdata(dtype="f4").transpose(2, 1, 0)[None]
    return volconv.load({**SPEC, "outputs": ["out", "nb"]})(x, tile="whole")


def read(path):
    values = nib.load(path).get_fdata(dtype="f4")
    return values.T if values.ndim == 4 else values.T[None]


@pytest.mark.parametrize("more", [{}, {"tile": (9, 8, 7)}, {"memory": BASELINE_BYTES + 6 * MIB}, {"threads": 1}])
def test_files_hold_what_the_python_layer_gives(scan, expected, tmp_path, more):
    events = []
    summary = volconv.run(
        SPEC, scan, tmp_path / "y.nii", save={"nb": str(tmp_path / "nb.nii")}, on_event=events.append, **more
    )
    assert read(tmp_path / "y.nii").tobytes() == expected["out"].tobytes()
    assert read(tmp_path / "nb.nii").tobytes() == expected["nb"].tobytes()
    (started,) = (event for event in events if isinstance(event, Started))
    done = [event for event in events if isinstance(event, TileDone)]
    assert started.tiles == summary["tiles"] == len(done)
    assert sorted(event.index for event in done) == list(range(len(done)))
    assert started.voxels == sum(event.voxels for event in done)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nb.nii", "y.nii"]


def test_a_small_budget_sends_wires_to_the_scratch_folder(scan, tmp_path):
    plan = volconv.plan(SPEC, scan, tmp_path / "y.nii", memory=BASELINE_BYTES + 6 * MIB)
    assert plan.scratch_bytes >= plan.stores[0].nbytes
    assert any(store.offset is not None for store in plan.stores)
    assert "to scratch" in str(plan)


def test_what_does_not_fit_ends_before_any_work(scan, tmp_path):
    with pytest.raises(BudgetError) as caught:
        volconv.run(SPEC, scan, tmp_path / "y.nii", memory=BASELINE_BYTES // 2)
    assert caught.value.exit_code == 4
    assert not list(tmp_path.iterdir())


def test_each_volume_of_a_batch_has_its_own_statistics(tmp_path):
    values = np.random.default_rng(1).standard_normal((9, 8, 7, 3)).astype("f4") * [1, 10, 100]
    nib.save(nib.Nifti1Image(values.astype("f4"), np.eye(4)), tmp_path / "t.nii")
    spec = {"volconv": 1, "name": "n", "stages": [{"op": "InstanceNorm3d"}]}
    volconv.run(spec, tmp_path / "t.nii", tmp_path / "y.nii", tile=(3, 4, 5))
    found = nib.load(tmp_path / "y.nii").get_fdata(dtype="f4")
    np.testing.assert_allclose(found.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(0, 1, 2)), 1, atol=1e-3)
    alone = volconv.load(spec)(values.astype("f4").transpose(3, 2, 1, 0)[:, None])
    assert found.transpose(3, 2, 1, 0).tobytes() == alone[:, 0].tobytes()


def test_statistics_of_values_that_are_not_finite_are_told(tmp_path):
    values = np.random.default_rng(1).standard_normal((9, 8, 7)).astype("f4")
    values[4, 4, 4] = np.nan
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
    two = {"op": "Conv3d", "name": "two", "kernel_size": 1, "out_channels": 2, "weight": {"init": "default", "seed": 0}}
    spec = {"volconv": 1, "name": "n", "stages": [{"op": "InstanceNorm3d", "name": "norm"}, two, {"op": "ArgMax"}]}
    (said,) = volconv.run(spec, tmp_path / "x.nii", tmp_path / "y.nii", tile=(3, 4, 5))["warnings"]
    assert said.startswith("stage 'norm': its statistics are NaN or infinite")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("budget_mib", [2048, BASELINE_BYTES // MIB + 28])  # the first may have to compile
def test_the_real_peak_stays_below_the_predicted_one(tmp_path, budget_mib):
    values = np.random.default_rng(0).standard_normal((96, 96, 96)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
    (tmp_path / "net.json").write_text(json.dumps(SPEC))
    command = [sys.executable, "-m", "volconv", "run", str(tmp_path / "net.json"), str(tmp_path / "x.nii")]
    command += ["-o", str(tmp_path / "y.nii"), "--memory", f"{budget_mib}MiB", "--json", "--threads", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["peak_rss_bytes"] <= summary["peak_bytes"] <= budget_mib * MIB
    assert summary["warnings"] == []

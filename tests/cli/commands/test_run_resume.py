"""`volconv run --resume`, its processes killed for real: by signals, and at each of their calls of the system."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

CONV = {"op": "Conv3d", "kernel_size": 3, "padding": 1}
NET = [
    {**CONV, "name": "a", "out_channels": 16, "weight": {"init": "default", "seed": 0}}, {"op": "LeakyReLU"},
    {**CONV, "name": "b", "out_channels": 2, "weight": {"init": "default", "seed": 3}},
]  # fmt: skip
NORM = [NET[0], {"op": "InstanceNorm3d"}, NET[1], {"op": "InstanceNorm3d"}, NET[2]]
LABELS = [*NET, {"op": "ArgMax"}, {"op": "LargestComponent", "name": "largest"}]
SPECS = {
    "net": {"stages": NET},
    "several": {"stages": NET, "outputs": ["b", "a"]},
    "norm": {"stages": NORM},
    "labels": {"stages": LABELS},
}
CASES = {
    "nii": ("net", "out.nii", ()),
    "gzip": ("net", "out.nii.gz", ()),
    "hdf5": ("net", "out.h5", ()),
    "pair": ("net", "out.hdr", ()),
    "save": ("net", "out.nii", ("--save", "a=a.nii.gz")),
    "several": ("several", "out.nii.gz", ()),
    "norm": ("norm", "out.nii", ()),
    "labels": ("labels", "out.nii.gz", ()),
}
INPUTS = {"scan.nii", *(f"{name}.json" for name in SPECS)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    values = np.random.default_rng(0).standard_normal((40, 40, 40)).astype("f4")
    nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "scan.nii")
    for name, spec in SPECS.items():
        (folder / f"{name}.json").write_text(json.dumps({"volconv": 1, "name": name, **spec}))
    return folder


@pytest.fixture
def folder(tmp_path, inputs):
    for path in inputs.iterdir():
        shutil.copy2(path, tmp_path)
    return tmp_path


def words(case, *more, resume=True):
    spec, output, options = CASES[case]
    line = [sys.executable, "-m", "volconv", "run", f"{spec}.json", "scan.nii", "-o", output, *options]
    return [*line, *(["--resume"] if resume else []), *map(str, more)]


def run(folder, case, *more, resume=True):
    line = words(case, "--json", *more, resume=resume)
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def outputs(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in INPUTS}


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """The files of a run without --resume, by case."""
    found = {}

    def of(case):
        if case not in found:
            folder = tmp_path_factory.mktemp("whole") / case
            shutil.copytree(inputs, folder)
            run(folder, case, resume=False)
            found[case] = outputs(folder)
        return found[case]

    return of


def stop_after(folder, case, lines, signum, *more):
    """Send a signal once the journal has that many lines; return how many it has in the end."""
    line = words(case, "--tile", "8,10,12", *more)
    with subprocess.Popen(line, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None:
            journals = list(folder.glob("*.volconv/journal"))
            if journals and journals[0].read_bytes().count(b"\n") >= lines:
                break
            time.sleep(0.0005)
        process.send_signal(signum)
        assert process.wait(60) == -signum, process.stderr.read()
    (journal,) = folder.glob("*.volconv/journal")
    return journal.read_bytes().count(b"\n")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_killed_half_way(folder, whole, case):
    expected = whole(case)
    done = stop_after(folder, case, 40, signal.SIGKILL)
    assert not outputs(folder).keys() & expected.keys()
    summary = run(folder, case, "--threads", 1)
    assert summary["tiles_resumed"] == done
    assert summary["tiles_computed"] == summary["tiles"] - done > 0
    assert outputs(folder) == expected
    assert {path.name for path in folder.iterdir()} == INPUTS | expected.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_the_job(folder, whole, name):
    done = stop_after(folder, "norm", 40, getattr(signal, name))
    assert {path.name for path in folder.iterdir()} == {*INPUTS, "out.nii.volconv"}
    assert run(folder, "norm")["tiles_resumed"] == done
    assert outputs(folder) == whole("norm")


@pytest.mark.slow
def test_a_dry_run_says_how_far_it_is(folder):
    done = stop_after(folder, "nii", 20, signal.SIGKILL)
    line = words("nii", "--dry-run")
    said = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^resumed  {done} of \d+ tiles are done$", said, re.MULTILINE)
    refused = subprocess.run(words("nii", "--dtype", "int8"), cwd=folder, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert refused.stderr.startswith("volconv: out.nii.volconv: the job there was begun with --dtype left out, ")
    assert refused.stderr.count("\n") == 1

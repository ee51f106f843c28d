"""Real processes: two that want one output, streams that are closed, and what is on the disk in which order."""

import os
import re
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from .harness import ROOT, SPEC, Bench, need_strace

pytestmark = pytest.mark.slow

HEAVY = """volconv: 1
name: heavy
stages:
  - {op: Conv3d, out_channels: 16, kernel_size: 5, padding: 2, weight: {init: default, seed: 0}, bias: false}
  - {op: Conv3d, out_channels: 16, kernel_size: 7, padding: 3, weight: {init: default, seed: 0}, bias: false}
"""


@pytest.fixture
def folder(tmp_path):
    nib.save(nib.Nifti1Image(np.ones((160, 160, 160), np.float32), np.eye(4)), tmp_path / "scan.nii")
    nib.save(nib.Nifti1Image(np.ones((6, 5, 4), np.float32), np.eye(4)), tmp_path / "small.nii")
    (tmp_path / "heavy.yaml").write_text(HEAVY)
    (tmp_path / "spec.json").write_text(SPEC)
    return tmp_path


def start(folder, *words, **streams):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = {"cwd": folder, "env": environment, "text": True, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen([sys.executable, "-m", "volconv", *words], **options)


def start_heavy(folder, output):
    """Return a run that is busy with its first tiles."""
    process = start(folder, "-v", "run", "heavy.yaml", "scan.nii", "-o", output, "--tile", "32,32,160")
    assert any("predicted" in said for said in process.stderr)
    time.sleep(0.5)
    assert process.poll() is None
    return process


def finish(process):
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def names(folder):
    return sorted({path.name for path in folder.iterdir()} - {"scan.nii", "small.nii", "heavy.yaml", "spec.json"})


SMALL = ("run", "spec.json", "small.nii", "-o")


@pytest.mark.parametrize("output", ["out.nii", "out.nii.gz", "out.h5"])
def test_two_processes_and_one_output(folder, output):
    with start_heavy(folder, output) as first:
        first.send_signal(signal.SIGSTOP)  # alive for as long as this takes
        for more in ([], ["--force"], ["--skip-existing"]):
            code, err = finish(start(folder, *SMALL, output, *more))
            assert code == 2
            assert re.fullmatch(
                rf"volconv: {output}: is being written by process {first.pid} on .+ since \d{{4}}-.+\n", err
            )
        assert finish(start(folder, *SMALL, "other.nii"))[0] == 0
        left = [name for name in names(folder) if name.endswith(".part")]
        assert len(left) == 1, "parts of the living are left alone"
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert names(folder) == sorted([*left, f"{output}.volconv", "other.nii"])
    assert finish(start(folder, *SMALL, output))[0] == 0, "the lock of the dead is taken over"
    assert names(folder) == sorted([output, "other.nii"])


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams(folder, closed):
    line = f'"{sys.executable}" -m volconv {" ".join(SMALL)} out.nii --json {closed}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0
    assert names(folder) == ["out.nii"]
    assert np.asanyarray(nib.load(folder / "out.nii").dataobj).shape == (6, 5, 4)


STEPS = {
    r"(pwrite64|write)\(\d+<[^>]*\.part>": "write",
    r"fsync\(\d+<[^>]*/commit\.part>": "sync list",
    r"fsync\(\d+<[^>]*\.part>": "sync file",
    r"fsync\(\d+<[^>]*\.volconv>": "sync scratch",
    r"fsync\(\d+<": "sync folder",
    r'rename\("[^"]*commit\.part", ': "name list",
    r"link\(": "name file",
    r'unlink\("[^"]*commit\.json"': "remove list",
}


def steps(bench):
    """Return what happens to files and their names, in order, repetitions left out."""
    found = []
    for line in bench.trace(("pwrite64", "write", "fsync", "link", "rename", "unlink")):
        step = next((word for pattern, word in STEPS.items() if re.match(pattern, line)), None)
        if step is not None and found[-1:] != [step]:
            found.append(step)
    return found


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "h5"])
def test_a_file_is_on_the_disk_before_its_name(tmp_path, kind):
    need_strace()
    assert steps(Bench(tmp_path / "folder", kind, False)) == ["write", "sync file", "name file", "sync folder"]


@pytest.mark.parametrize("kind", ["pair", "set"])
def test_files_and_list_are_on_the_disk_before_the_first_name(tmp_path, kind):
    need_strace()
    found = steps(Bench(tmp_path / "folder", kind, False))
    at = found.index("name list")
    assert set(found[:at]) == {"write", "sync file", "sync folder", "sync list"}
    assert found[at - 2 : at + 4] == ["write", "sync list", "name list", "sync scratch", "sync folder", "name file"]
    assert "sync file" not in found[at:]
    assert found[-3:] == ["name file", "sync folder", "remove list"]

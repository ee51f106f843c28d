"""Signals in every part of a run: the process ends by them within two seconds, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
PATIENCE = 2  # seconds, as promised
CONV = {"op": "Conv3d", "kernel_size": 3, "padding": 1, "weight": {"init": "default", "seed": 0}, "bias": False}
SPECS = {
    "smooth": {"stages": [{**CONV, "out_channels": 1}]},
    "features": {"stages": [{**CONV, "out_channels": 16}]},
    "heavy": {"stages": [{**CONV, "out_channels": 16, "kernel_size": k, "padding": k // 2} for k in (5, 7)]},
    "scaled": {"input": {"intensity": [{"percentile": [2, 98]}]}, "stages": [{**CONV, "out_channels": 1}]},
    "labels": {"stages": [{**CONV, "out_channels": 3}, {"op": "ArgMax"}, {"op": "LargestComponent"}]},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with every spec, a scan, and the same scan compressed."""
    folder = tmp_path_factory.mktemp("inputs")
    values = np.random.default_rng(0).integers(0, 1000, (160, 160, 160)).astype(np.int16)
    for name in ("scan.nii", "scan.nii.gz"):
        nib.save(nib.Nifti1Image(values, np.eye(4)), folder / name)
    for name, spec in SPECS.items():
        (folder / f"{name}.json").write_text(json.dumps({"volconv": 1, "name": name, **spec}))
    return folder


def start(inputs, folder, spec, scan, *words, output="out.nii", **environ):
    line = [sys.executable, "-m", "volconv", "-v", "run", inputs / f"{spec}.json", inputs / scan, "-o", output, *words]
    return subprocess.Popen(
        [str(word) for word in line], cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
    )


def wait_for(process, words):
    """Read what `process` says until a line holds `words`."""
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return
    pytest.fail(f"{words!r} was never said: {''.join(said)}")


def stop(process, name, folder):
    """Send the signal `name` and see that `process` dies of it in time, says so, and leaves `folder` empty."""
    assert process.poll() is None
    started = time.monotonic()
    process.send_signal(getattr(signal, name))
    rest = process.stderr.read()
    assert process.wait(timeout=60) == -getattr(signal, name)
    assert time.monotonic() - started < PATIENCE
    assert rest.splitlines()[-1] == f"volconv: stopped by {name}"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", SIGNALS)
def test_between_tiles(inputs, tmp_path, name):
    with start(inputs, tmp_path, "heavy", "scan.nii", "--tile", "32,32,160") as process:
        wait_for(process, "predicted")
        time.sleep(0.3)
        stop(process, name, tmp_path)


@pytest.mark.parametrize("name", SIGNALS)
def test_while_compiling(inputs, tmp_path, tmp_path_factory, name):
    """The processes that compile end with the one they compile for."""
    cache = tmp_path_factory.mktemp("cache")
    with start(inputs, tmp_path, "features", "scan.nii", NUMBA_CACHE_DIR=str(cache)) as process:
        wait_for(process, "compiling kernels")
        children, deadline = [], time.monotonic() + 20
        while not children and time.monotonic() < deadline:
            tasks = Path(f"/proc/{process.pid}/task").iterdir()
            children = [int(n) for task in tasks for n in (task / "children").read_text().split()]
        assert children
        stop(process, name, tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(is_running(child) for child in children):
        time.sleep(0.05)
    assert not [child for child in children if is_running(child)]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("name", SIGNALS)
def test_while_decompressing(inputs, tmp_path, name):
    with start(inputs, tmp_path, "smooth", "scan.nii.gz") as process:
        wait_for(process, "decompressing")
        stop(process, name, tmp_path)


@pytest.mark.parametrize("name", SIGNALS)
def test_while_gathering_statistics(inputs, tmp_path, name):
    with start(inputs, tmp_path, "scaled", "scan.nii") as process:
        wait_for(process, "gathering statistics")
        stop(process, name, tmp_path)


@pytest.mark.parametrize("name", SIGNALS)
def test_while_finishing_labels(inputs, tmp_path, name):
    with start(inputs, tmp_path, "labels", "scan.nii", output="out.nii.gz") as process:
        wait_for(process, "finishing labels")
        stop(process, name, tmp_path)


@pytest.mark.parametrize("name", SIGNALS)
def test_while_compressing(inputs, tmp_path, name):
    """One file a channel is compressed after the last tile."""
    words = ("--channels", "split", "--threads", "1")
    with start(inputs, tmp_path, "features", "scan.nii", *words, output="out.nii.gz") as process:
        wait_for(process, "predicted")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(p.stat().st_size for p in tmp_path.glob("**/*") if p.is_file()):
            time.sleep(0.01)
        stop(process, name, tmp_path)


TERMINAL = """
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-m", "volconv", "run", *sys.argv[2:]])
seen = b""
while b"tiles" not in seen:
    seen += os.read(terminal, 4096)
time.sleep(0.3)
started = time.monotonic()
for action in sys.argv[1].split(","):
    if action == "gone":
        os.close(terminal)
    else:
        os.write(terminal, b"\\x03")
        time.sleep(0.1)
if action != "gone":
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), time.monotonic() - started)
"""


@pytest.mark.parametrize(("actions", "code"), [("stop", -2), ("stop,stop", -2), ("gone", -1)])
def test_on_a_terminal(inputs, tmp_path, actions, code):
    """Ctrl-C once and twice, and a terminal that is gone."""
    words = [str(inputs / "heavy.json"), str(inputs / "scan.nii"), "-o", "out.nii", "--tile", "32,32,160"]
    line = [sys.executable, "-c", TERMINAL, actions, *words]
    environ = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True, env=environ, timeout=60)
    status, seconds = done.stdout.split()
    assert int(status) == code
    assert float(seconds) < PATIENCE
    assert not (tmp_path / "out.nii").exists()
    if actions != "stop,stop":  # the second ends the process at once: a hidden part may stay
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in SIGNALS if name != "SIGINT"])
def test_a_shell_sees_the_status(inputs, tmp_path, name):
    """Of jobs in the background; SIGINT is ignored in those."""
    number = getattr(signal, name)
    words = f"-m volconv -v run '{inputs}/heavy.json' '{inputs}/scan.nii' -o out.nii --tile 32,32,160"
    script = f"""
        "{sys.executable}" {words} 2>said & job=$!
        while ! grep -q predicted said; do sleep 0.05; done
        kill -{number} $job
        wait $job
        echo status $?
    """
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert f"status {128 + number}" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["said"]


def test_a_reader_that_is_gone(inputs, tmp_path):
    """Neither a closed pipe behind stdout nor a closed stderr keeps the output from its name."""
    words = f"-m volconv run '{inputs}/smooth.json' '{inputs}/scan.nii' -o out.nii --json --force"
    for redirection in ("2>said | true", "2>&- | head -c 1 >/dev/null", ">&- 2>&-"):
        script = f'set -o pipefail; "{sys.executable}" {words} {redirection}'
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, redirection
        assert (tmp_path / "out.nii").stat().st_size > 2 * 160**3
        (tmp_path / "out.nii").unlink()
        (tmp_path / "said").unlink(missing_ok=True)
        assert not list(tmp_path.iterdir())

"""`volconv run`: what reaches the API, and whole runs on tiny files."""

import json
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import volconv.api.run
from volconv.run import events


@pytest.fixture
def called(monkeypatch):
    """Put a recorder in the place of the API's function; return what it was called with."""
    calls = []

    def run(spec, inputs, output, *, on_event=None, **options):
        on_event(events.Finished((output,), 1.0))
        calls.append((spec, inputs, output, options))
        return {"outputs": [output]}

    monkeypatch.setattr(volconv.api.run, "run", run)
    return calls


DEFAULTS = {
    "save": None,
    "weights": None,
    "mask": None,
    "settings": None,
    "axes": None,
    "spacing": None,
    "memory": None,
    "scratch": None,
    "tile": None,
    "threads": None,
    "algorithm": "auto",
    "output_type": None,
    "dtype": None,
    "channels": "4d",
    "force": False,
    "skip_existing": False,
    "resume": False,
    "depfile": None,
    "sidecar": False,
}


def test_defaults(volconv, called):
    result = volconv("run", "gaussian", "a.nii", "-o", "b.nii")
    assert (result.exit_code, result.stdout) == (0, "")
    assert called == [("gaussian", ("a.nii",), "b.nii", DEFAULTS)]
    assert result.stderr == "volconv: wrote b.nii in 1.00 s\n"


OPTIONS = (
    "--save a=a.nii --save b=b.nii -w w.npz --mask m.nii --set sigma=2mm --set size=[3,3,5] --set flag=true "
    "--axes zyx --spacing 3,0.5,.5 --memory 1.5GiB --scratch s --tile 8,16,32 --threads 2 --algorithm direct "
    "--output-type argmax --dtype int16 --channels split --force --skip-existing --resume --depfile d --sidecar"
)


def test_every_option(volconv, called):
    result = volconv("run", "x.yaml", "t1.nii", "flair.nii", "-o", "out.h5", *OPTIONS.split())
    assert result.exit_code == 0
    ((spec, inputs, output, options),) = called
    assert (spec, inputs, output) == ("x.yaml", ("t1.nii", "flair.nii"), "out.h5")
    assert set(options) == set(DEFAULTS)
    assert {name: value for name, value in options.items() if name != "settings"} == {
        "save": {"a": "a.nii", "b": "b.nii"},
        "weights": "w.npz",
        "mask": "m.nii",
        "axes": "zyx",
        "spacing": (3.0, 0.5, 0.5),
        "memory": "1.5GiB",
        "scratch": "s",
        "tile": (8, 16, 32),
        "threads": 2,
        "algorithm": "direct",
        "output_type": "argmax",
        "dtype": "int16",
        "channels": "split",
        "force": True,
        "skip_existing": True,
        "resume": True,
        "depfile": "d",
        "sidecar": True,
    }
    assert options["settings"]["size"] == [3, 3, 5]
    assert options["settings"]["flag"] is True


def test_whole_tile(volconv, called):
    assert volconv("run", "g", "a", "-o", "b", "--tile", "whole").exit_code == 0
    assert called[0][3]["tile"] == "whole"


def test_json_is_all_of_stdout(volconv, called):
    result = volconv("run", "g", "a", "-o", "b", "--json")
    assert json.loads(result.stdout) == {"outputs": ["b"]}
    assert called


def test_quiet(volconv, called):
    assert volconv("-q", "run", "g", "a", "-o", "b").stderr == ""
    assert called


@pytest.fixture
def scan(tmp_path):
    """A small anisotropic oblique scan."""
    rng = np.random.default_rng(1)
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.2, 0.1, -0.3) @ np.diag([0.8, 0.9, 3.0]), [-20, 5, 11])
    image = nib.Nifti1Image(rng.integers(0, 900, (14, 12, 9)).astype(np.int16), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, tmp_path / "scan.nii.gz")
    return image


def test_gaussian_in_millimetres(volconv, scan):
    result = volconv("run", "gaussian", "scan.nii.gz", "-o", "out.nii.gz", "--set", "sigma=2mm")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "wrote out.nii.gz" in result.stderr
    out = nib.load("out.nii.gz")
    sigma = [2 / step for step in (0.8, 0.9, 3.0)]
    expected = ndimage.gaussian_filter(scan.get_fdata(), sigma, mode="nearest", truncate=4.0)
    np.testing.assert_allclose(out.get_fdata(), expected, atol=1e-5 * np.ptp(expected))
    np.testing.assert_allclose(out.affine, scan.affine, atol=1e-6)


def test_summary_as_json(volconv, scan):
    result = volconv("run", "mean", "scan.nii.gz", "-o", "out.nii.gz", "--json")
    document = json.loads(result.stdout)
    assert document["outputs"][0]["path"] == "out.nii.gz"
    assert document["seconds"] >= 0
    assert scan.shape == (14, 12, 9)


def test_skip_existing(volconv, scan):
    words = ("run", "mean", "scan.nii.gz", "-o", "out.nii", "--skip-existing")
    assert volconv(*words).exit_code == 0
    before = nib.load("out.nii").get_fdata()
    second = volconv(*words)
    assert second.exit_code == 0
    assert "up to date" in second.stderr
    changed = volconv(*words, "--set", "size=5")
    assert changed.exit_code == 2
    assert "exists and was not skipped" in changed.stderr
    np.testing.assert_array_equal(nib.load("out.nii").get_fdata(), before)
    assert scan.shape == before.shape


REFUSED = {
    "unknown preset": ("run gausian scan.nii.gz -o out.nii", 2, "gaussian"),
    "missing spec": ("run none.yaml scan.nii.gz -o out.nii", 2, "none.yaml"),
    "missing input": ("run mean none.nii.gz -o out.nii", 2, "none.nii.gz"),
    "input is a folder": ("run mean . -o out.nii", 2, ".: found a folder"),
    "output is the input": ("run mean scan.nii.gz -o scan.nii.gz --force", 2, "scan.nii.gz"),
    "output exists": ("run mean scan.nii.gz -o here.nii", 2, "--force"),
    "no such folder": ("run mean scan.nii.gz -o none/out.nii", 2, "none"),
    "output of no format": ("run mean scan.nii.gz -o out.txt", 2, "out.txt"),
    "output is a folder": ("run mean scan.nii.gz -o folder.nii --force", 2, "folder.nii"),
    "unknown parameter": ("run gaussian scan.nii.gz -o out.nii --set sigam=2", 2, "sigma"),
    "parameter is no length": ("run gaussian scan.nii.gz -o out.nii --set sigma=wide", 2, "wide"),
    "negative parameter": ("run gaussian scan.nii.gz -o out.nii --set sigma=-1mm", 2, "-1"),
    "axes that are none": ("run mean scan.nii.gz -o out.nii --axes qqq", 2, "axes 'qqq'"),
    "missing weights": ("run bare.yaml scan.nii.gz -o out.nii -w none.npz", 2, "none.npz"),
    "damaged spec": ("run damaged.yaml scan.nii.gz -o out.nii", 3, "line 2"),
    "damaged volume": ("run mean damaged.nii.gz -o out.nii", 3, "damaged.nii.gz"),
    "damaged weights": ("run bare.yaml scan.nii.gz -o out.nii -w damaged.npz", 3, "damaged.npz"),
    "channels": ("run mean scan.nii.gz scan.nii.gz -o out.nii", 3, "channel"),
    "too little memory": ("run mean scan.nii.gz -o out.nii --memory 1MB", 4, "--memory"),
}


@pytest.mark.parametrize(("line", "code", "part"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("command", ["run", "plan"])
def test_refused_before_anything_is_written(volconv, scan, tmp_path, line, code, part, command):
    (tmp_path / "here.nii").write_bytes(b"precious")
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "damaged.yaml").write_text("volconv: 1\nstages: [{op: Conv3d\n")
    (tmp_path / "bare.yaml").write_text("volconv: 1\nname: bare\nstages: [{op: Conv3d, name: a, kernel_size: 3}]\n")
    (tmp_path / "damaged.nii.gz").write_bytes((tmp_path / "scan.nii.gz").read_bytes()[:900])
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 not really")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    result = volconv(command, *line.split()[1:])
    if command == "plan" and line.startswith("run mean damaged.nii.gz"):
        return  # the damage lies behind the header, which is all that a plan reads
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("volconv: ")
    assert result.stderr.count("\n") == 1
    assert part in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["folder.nii"]
    assert scan.shape == (14, 12, 9)


@pytest.mark.slow
def test_a_process_of_its_own(scan, tmp_path):
    """The command as a shell sees it: nothing on stdout, nothing left in the folder but the output."""
    line = [sys.executable, "-m", "volconv", "run", "mean", "scan.nii.gz", "-o", "out.nii.gz"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.nii.gz", "scan.nii.gz"]
    again = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert scan.shape == (14, 12, 9)


@pytest.mark.slow
def test_loads_nothing_that_it_has_no_use_for(scan, tmp_path):
    code = (
        "import sys\nfrom volconv.cli.main import main\ntry:\n    main()\nfinally:\n    print('LOADED', *sys.modules)\n"
    )
    line = [sys.executable, "-c", code, "run", "mean", "scan.nii.gz", "-o", "out.nii.gz"]
    for _ in range(2):  # the first run may have to compile
        done = subprocess.run([*line, "--force"], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED ", 1)[1].split())
    assert "numba" in loaded
    assert not loaded & {"nibabel", "h5py", "ml_dtypes", "rich"}
    assert scan.shape == (14, 12, 9)


HEAVY = """volconv: 1
name: heavy
stages:
  - {op: Conv3d, out_channels: 16, kernel_size: 5, padding: 2, weight: {init: default, seed: 0}, bias: false}
  - {op: Conv3d, out_channels: 16, kernel_size: 7, padding: 3, weight: {init: default, seed: 0}, bias: false}
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("output", ["out.nii", "out.nii.gz", "out.h5"])
def test_a_signal_in_mid_run_leaves_nothing(tmp_path, name, output):
    """Within two seconds, although the whole work takes longer: kernels run off the main thread."""
    nib.save(nib.Nifti1Image(np.ones((160, 160, 160), np.float32), np.eye(4)), tmp_path / "scan.nii")
    (tmp_path / "heavy.yaml").write_text(HEAVY)
    line = [sys.executable, "-m", "volconv", "-v", "run", "heavy.yaml", "scan.nii", "-o", output, "--tile", "32,32,160"]
    with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert any("predicted" in said for said in process.stderr)  # the first tile is about to be read
        time.sleep(0.5)
        assert process.poll() is None
        started = time.monotonic()
        process.send_signal(getattr(signal, name))
        rest = process.stderr.read()
        assert process.wait(timeout=60) == -getattr(signal, name)
    assert time.monotonic() - started < 2
    assert rest == f"volconv: stopped by {name}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heavy.yaml", "scan.nii"]

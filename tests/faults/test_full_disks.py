"""Disks that are full, too small, read-only or another's: the status says when it showed, and nothing is left."""

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from .harness import ROOT, SPEC

pytestmark = pytest.mark.slow

OUTPUTS = ["out.nii", "out.nii.gz", "out.h5", "out.hdr"]


@pytest.fixture(scope="module")
def folder():
    """A folder that anyone may enter, with a scan of 2 MB of noise and a spec."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        noise = np.random.default_rng(0).normal(size=(80, 80, 80)).astype(np.float32)
        nib.save(nib.Nifti1Image(noise, np.eye(4)), folder / "scan.nii")
        (folder / "spec.json").write_text(SPEC)
        (folder / "disk").mkdir()
        yield folder


def command(folder, output, *words):
    return [sys.executable, "-m", "volconv", "run", str(folder / "spec.json"), str(folder / "scan.nii"), "-o", output,
            *words]  # fmt: skip


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@cache
def can_mount():
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def on_disk(folder, size, words, after=""):
    """Run `words` in a new file system of `size` at ``folder/disk``; return status, stderr and the names left there."""
    if not can_mount():
        pytest.skip("this process may not mount a file system")
    disk = shlex.quote(str(folder / "disk"))
    script = f"mount -t tmpfs -o size={size} none {disk} && cd {disk} && {after or 'true'}\n{shlex.join(words)}\n"
    script += "echo $?; ls -A"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    code, *names = done.stdout.splitlines()
    return int(code), done.stderr, names


def test_a_disk_that_suffices(folder):
    code, err, names = on_disk(folder, "16m", command(folder, "out.nii"))
    assert (code, names) == (0, ["out.nii"]), err


def test_another_disk_that_is_full_at_the_start_of_a_run_that_keeps_its_tiles(folder):
    """Its outputs are made after the last tile: that there is no room for them is to be seen before the first."""
    with tempfile.TemporaryDirectory() as home:
        words = command(folder, f"{home}/out.nii", "--resume", "--tile", "16,16,16", "--save", "a=saved.nii")
        code, err, names = on_disk(folder, "1m", words)
        assert (code, names) == (4, []), err
        assert "outputs need" in err
        assert list(Path(home).iterdir()) == []


@pytest.mark.parametrize("output", OUTPUTS)
def test_full_at_the_start(folder, output):
    code, err, names = on_disk(folder, "1m", command(folder, output))
    assert code == 4
    assert err.count("\n") == 1
    assert f"volconv: {output.replace('.hdr', '.img')}: needs 20" in err
    assert "bytes of disk" in err
    assert names == []


@pytest.mark.parametrize("output", OUTPUTS)
def test_no_room_for_tiles_that_are_kept(folder, output):
    code, err, names = on_disk(folder, "3m", command(folder, output, "--resume"))
    assert (code, names) == (4, [])
    assert err.count("\n") == 1
    assert f"volconv: {output}.volconv: tiles and outputs need " in err


@pytest.mark.parametrize("output", OUTPUTS)
def test_no_room_for_another_name(folder, output):
    code, err, names = on_disk(folder, "1m,nr_inodes=1", command(folder, output))
    assert code == 4, err
    assert err.count("\n") == 1
    assert "no room in" in err
    assert names == []


def test_full_in_mid_run(folder):
    """Noise does not shrink, and what a compressed file will take is not known before."""
    words = command(folder, "out.nii.gz", "--scratch", str(folder / "scratch"))
    code, err, names = on_disk(folder, "1m", words)
    assert code == 1
    assert err.count("\n") == 1
    assert "volconv: out.nii.gz: cannot write" in err
    assert "No space left on device" in err
    assert names == []
    assert not (folder / "scratch").exists()


@pytest.mark.parametrize("words", [(), ("--resume",)])
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_limit_on_the_size_of_files(folder, tmp_path, output, words):
    done = subprocess.run(
        command(folder, output, *words),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk(folder):
    code, err, names = on_disk(folder, "16m", command(folder, "out.nii"), after="mount -o remount,ro .")
    assert (code, names) == (2, [])
    assert err == "volconv: out.nii: cannot be written: Read-only file system\n"


def test_a_folder_of_another_owner(folder):
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    probe = [*words, sys.executable, "-c", "import numba"]
    if shutil.which("setpriv") is None or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not become another user, or that user cannot run Python")
    (folder / "theirs").mkdir(mode=0o755, exist_ok=True)
    done = subprocess.run(
        [*words, *command(folder, "out.nii")],
        cwd=folder / "theirs",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "volconv: out.nii: cannot be written: Permission denied\n"
    assert list((folder / "theirs").iterdir()) == []

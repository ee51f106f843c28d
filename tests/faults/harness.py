"""Runs of the real command whose calls to the system fail, or kill it, one after the other."""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FULL = bool(os.environ.get("VOLCONV_FULL_SWEEP"))
SPEC = '{"volconv": 1, "stages": [{"op": "ReLU", "name": "a"}, {"op": "ReLU", "name": "b"}]}'
LIBRARIES = ("volconv.", "numpy.", "numba.", "llvmlite.", "h5py.", "zlib_ng.", "ruamel.", "click.")
CASES = {
    "nii": ["-o", "out.nii"],
    "nii.gz": ["-o", "out.nii.gz"],
    "h5": ["-o", "out.h5"],
    "pair": ["-o", "out.hdr"],
    "set": ["-o", "out.nii", "--save", "a=saved.nii.gz", "--save", "b=third.h5"],
}
OUTPUTS = {
    "nii": ["out.nii"],
    "nii.gz": ["out.nii.gz"],
    "h5": ["out.h5"],
    "pair": ["out.hdr", "out.img"],
    "set": ["out.nii", "saved.nii.gz", "third.h5"],
}


EVERY = 3
"""Of the calls before an output's commit, one in so many is tried, unless ``VOLCONV_FULL_SWEEP`` is set."""


def choose(calls, shift=0):
    """Yield number and call of those to be tried, of all that a run makes."""
    commit = next(i for i, (name, _) in enumerate(calls) if name == "fchmod")
    for at, call in enumerate(calls):
        if FULL or at >= commit or at % EVERY == shift % EVERY:
            yield at + 1, call


@cache
def why_not():
    """Return why strace cannot be used here, or nothing."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    words = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"strace does not work here: {done.stderr.strip()}"


def need_strace():
    if why_not():
        pytest.skip(why_not())


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


class Server:
    """The process of `server.py`: a run that it forks takes a tenth of the time of one that is started."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        atexit.register(self.process.kill)

    def ask(self, **job):
        """Return the exit status of a run; a signal's is negative."""
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@cache
def start_server():
    return Server()


@dataclass(frozen=True)
class Done:
    """What has come of a run."""

    returncode: int
    stdout: str
    stderr: str


class Bench:
    """A folder with a scan and a spec, and the command to run there; the same for every call that is tried.

    Parameters
    ----------
    folder : Path
    kind : str
        One of `CASES`.
    force : bool
        Whether old outputs are there, to be replaced.
    """

    def __init__(self, folder, kind, force):
        self.folder = folder
        self.outputs = OUTPUTS[kind]
        self.force = force
        self.words = ["run", "spec.json", "scan.nii", *CASES[kind], "--tile", "3,5,6", "--threads", "1"]
        if force:
            self.words.append("--force")
        image = nib.Nifti1Image(np.arange(120, dtype=np.float32).reshape(6, 5, 4), np.eye(4))
        nib.save(image, folder.parent / "scan.nii")
        self.inputs = {"scan.nii": (folder.parent / "scan.nii").read_bytes(), "spec.json": SPEC.encode()}
        self.old = {name: b"old " + name.encode() for name in self.outputs} if force else {}
        self.clean = {}

    def begin(self):
        """Make the folder anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name, content in {**self.inputs, **self.old}.items():
            (self.folder / name).write_bytes(content)

    def run(self, **job):
        """Run the command, forked; `job` says at which call it is to end, and how."""
        beside = self.folder.parent
        job |= {"folder": str(self.folder), "words": self.words}
        code = start_server().ask(stdout=str(beside / "stdout"), stderr=str(beside / "stderr"), **job)
        return Done(code, (beside / "stdout").read_text(), (beside / "stderr").read_text())

    def count(self):
        """Run cleanly; return name and path of every call on a file of the run, and note what the outputs are."""
        path = self.folder.parent / "calls"
        for _ in range(2):  # the first may have to compile, and loads what the server then has for all
            self.begin()
            done = self.run(calls=str(path))
            assert done.returncode == 0, done
            found = json.loads(path.read_text())
            start_server().ask(modules=[name for name in found["modules"] if name.startswith(LIBRARIES)])
        self.clean = {name: (self.folder / name).read_bytes() for name in self.outputs}
        assert self.extra() == []
        return [tuple(call) for call in found["calls"]]

    def start(self, *before):
        """Run the command as a process of its own, after the words `before`."""
        words = [*before, sys.executable, "-m", "volconv", *self.words]
        done = subprocess.run(words, cwd=self.folder, env=environment(), capture_output=True, text=True, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def trace(self, names):
        """Return the system calls of those names that a clean run makes on its own files, as strace shows them."""
        log = self.folder.parent / "log"
        self.begin()
        done = self.start("strace", "-f", "-y", "-o", str(log), "-e", f"trace={','.join(names)}")
        assert done.returncode == 0, done
        lines = [line.split(" ", 1)[1].strip() for line in log.read_text(errors="replace").splitlines()]
        inside = re.compile(rf'{re.escape(str(self.folder))}/|\w+\("(?!/)')  # relative names are in the run's folder
        return [line for line in lines if re.match(r"\w+\(", line) and inside.search(line)]

    def state(self, name):
        """Say what stands under an output's name: nothing, the old file, the new one, or anything else."""
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return "absent"
        if content == self.clean[name]:
            return "new"
        return "old" if content == self.old.get(name) else "damaged"

    def extra(self):
        """Return what is in the folder and neither input nor output."""
        return sorted({path.name for path in self.folder.iterdir()} - {*self.inputs, *self.outputs})

    def untouched(self):
        """Return whether the inputs are as they were."""
        return all((self.folder / name).read_bytes() == content for name, content in self.inputs.items())

    def check_again(self, call):
        """Check that the next run of the same command succeeds, or says the outputs are there, and leaves them only."""
        done = self.run()
        assert done.returncode == 0 or (done.returncode == 2 and not self.force), (call, done)
        assert done.returncode == 0 or "exists" in done.stderr, (call, done)
        assert [self.state(name) for name in self.outputs] == ["new"] * len(self.outputs), (call, done)
        assert self.extra() == [], (call, done)
        assert self.untouched(), (call, done)

"""Runs of the real command whose system calls fail, or kill it, one after the other.

A call is named by its place: the n-th of its kind in its thread. strace counts so too, in every thread; a call that
another thread's n-th comes before can only be reached from within, by `DRIVER`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from volconv.cli.main import cli

ROOT = Path(__file__).parents[2]
FULL = bool(os.environ.get("VOLCONV_FULL_SWEEP"))
CHANGING = ("pwrite64", "write", "fallocate", "ftruncate", "fsync", "rename", "link", "unlink", "fchmod", "utimensat",
            "mkdir", "rmdir")  # fmt: skip
"""Calls that change a file or a folder, and those that bring it to the disk."""

SPEC = '{"volconv": 1, "stages": [{"op": "ReLU", "name": "a"}]}'
CASES = {
    "nii": ["-o", "out.nii"],
    "nii.gz": ["-o", "out.nii.gz"],
    "h5": ["-o", "out.h5"],
    "pair": ["-o", "out.hdr"],
    "set": ["-o", "out.nii", "--save", "a=saved.nii.gz", "--save", "a=third.h5"],
}
OUTPUTS = {
    "nii": ["out.nii"],
    "nii.gz": ["out.nii.gz"],
    "h5": ["out.h5"],
    "pair": ["out.hdr", "out.img"],
    "set": ["out.nii", "saved.nii.gz", "third.h5"],
}
DRIVER = """
import os, signal, sys
left, error = int(sys.argv.pop(1)), int(sys.argv.pop(1))
pwrite = os.pwrite
def count(*arguments):
    global left
    left -= 1
    if left == 0 and not error:
        os.kill(os.getpid(), signal.SIGKILL)
    if left == 0:
        raise OSError(error, os.strerror(error))
    return pwrite(*arguments)
os.pwrite = count
from volconv.cli.main import main
main()
"""


@cache
def why_not():
    """Return why strace cannot be used here, or nothing."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    words = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"strace does not work here: {done.stderr.strip()}"


def need_strace():
    if why_not():
        pytest.skip(why_not())


@dataclass(frozen=True)
class Call:
    """A system call on the files of a run.

    Attributes
    ----------
    name : str
    nth : int
        Among the calls of that name in its thread.
    number : int
        Among the calls of that name in the process, as far as `DRIVER` sees them.
    first : bool
        Whether no other thread makes its `nth` call of that name before.
    line : str
        As strace shows it.
    """

    name: str
    nth: int
    number: int
    first: bool
    line: str

    @property
    def is_reachable(self):
        return self.first or self.name == "pwrite64"


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
        self.log = folder.parent / "log"
        image = nib.Nifti1Image(np.arange(120, dtype=np.float32).reshape(6, 5, 4), np.eye(4))
        nib.save(image, folder.parent / "scan.nii")
        self.inputs = {"scan.nii": (folder.parent / "scan.nii").read_bytes(), "spec.json": SPEC.encode()}
        self.old = {name: b"old " + name.encode() for name in self.outputs} if force else {}
        self.begin()
        done = self.start()
        assert done.returncode == 0, done.stderr
        self.clean = {name: (folder / name).read_bytes() for name in self.outputs}
        assert self.extra() == []

    def begin(self):
        """Make the folder anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name, content in {**self.inputs, **self.old}.items():
            (self.folder / name).write_bytes(content)

    def start(self, *before, driver=()):
        """Run the command as a process of its own, after the words `before`."""
        start = ["-c", DRIVER, *map(str, driver)] if driver else ["-m", "volconv"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        words = [*before, sys.executable, *start, *self.words]
        return subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def again(self):
        """Run the command once more, in this process."""
        here = Path.cwd()
        os.chdir(self.folder)
        try:
            return CliRunner().invoke(cli, self.words)
        finally:
            os.chdir(here)

    def calls(self, names):
        """Return the calls of those names that a clean run makes on its own files, in order."""
        self.begin()
        trace = ["strace", "-f", "-y", "--seccomp-bpf", "-o", str(self.log), "-e", f"trace={','.join(names)}"]
        done = self.start(*trace)
        assert done.returncode == 0, done.stderr
        seen, numbers, earlier, calls = Counter(), Counter(), set(), []
        for line in self.log.read_text(errors="replace").splitlines():
            match = re.match(r"(\d+) +(\w+)\(", line)
            if match is None:
                continue
            thread, name = match.groups()
            seen[thread, name] += 1
            numbers[name] += 1
            nth = seen[thread, name]
            first = (name, nth) not in earlier
            earlier.add((name, nth))
            if str(self.folder) in line or re.search(r'\("(?!/)', line):  # relative names are in the run's folder
                calls.append(Call(name, nth, numbers[name], first, line.split(" ", 1)[1].strip()))
        return calls

    def inject(self, call, signal="", error=0, symbol=""):
        """Run the command with `call` killed or failing."""
        self.begin()
        if not call.first:
            return self.start(driver=(call.number, error))
        what = f"signal={signal}" if signal else f"error={symbol}"
        trace = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={call.name}"]
        return self.start(*trace, "-e", f"inject={call.name}:{what}:when={call.nth}")

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
        done = self.again()
        if self.force:
            assert done.exit_code == 0, (call, done.stderr)
        else:
            assert done.exit_code in (0, 2), (call, done.stderr)
            assert done.exit_code == 0 or "exists" in done.stderr, (call, done.stderr)
        assert [self.state(name) for name in self.outputs] == ["new"] * len(self.outputs), (call, done.stderr)
        assert self.extra() == [], call
        assert self.untouched(), call

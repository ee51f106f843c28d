"""The parent's side of a process of rivals."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ....errors import RunError
from .child import Job

# glibc keeps what is freed, so that a library that allocates its results anew in each call does not pay for the
# kernel's zeroing of fresh pages: that would make a reused buffer look like fast arithmetic.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "1000000000",
}
# The parent's import path, not the working folder's: a stray numpy.py there must not be run.
_START = "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
_START += "from volconv.api.bench.rivals.child import main; main()"


def make_environment(job: Job, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the process for `job`: `environ`, but for what our own kernels set for themselves."""
    env = {name: value for name, value in environ.items() if name != "OMP_WAIT_POLICY"}
    env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(job.threads))
    return env if job.is_plain else env | KEEP_MEMORY


class RivalProcess:
    """Rivals at work on one row; a context that ends the process.

    Attributes
    ----------
    versions, errors, warm_seconds, failed : dict
        By rival: its version, the error of its result, the time of a run when warm, why it cannot be timed; after
        `wait_ready` and `warm_up`.
    """

    def __init__(self, job: Job) -> None:
        self.versions: dict[str, str] = {}
        self.errors: dict[str, float] = {}
        self.warm_seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self._job = job

    def __enter__(self) -> RivalProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=make_environment(self._job, os.environ),
        )
        self._send(json.dumps(sys.path).encode() + b"\n" + pickle.dumps(self._job))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def wait_ready(self) -> None:
        """Wait until every rival has been made."""
        ready = self._receive()
        self.versions, self.failed = ready["versions"], ready["failed"]

    def warm_up(self, name: str) -> None:
        """Let the rival `name` run until it is warm; keep error and seconds of its last run, or why there is none."""
        self._send(f"warm {name}\n".encode())
        answer = self._receive()
        if "error" in answer:
            self.errors[name], self.warm_seconds[name] = answer["error"], answer["seconds"]
        else:
            self.failed[name] = answer["failed"]

    def time(self, name: str) -> float:
        """Return the seconds that one run of the rival `name` takes."""
        self._send(f"time {name}\n".encode())
        return float(self._receive()["seconds"])

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._gone() from error

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        return json.loads(line)

    def _gone(self) -> RunError:
        status = self._process.wait()
        return RunError(f"the process of {', '.join(self._job.names)} ended with status {status}")

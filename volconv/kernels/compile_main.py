"""Compile kernels in child processes, before the work begins; the children leave the code in the cache and exit.

`compile_in_child` is the parent's side and `main` the child's. The child gets its job as a line of JSON on stdin: the
parent's import path, the cache folder, the specs. Its stdin stays open as long as the parent lives: where it ends, the
child has no one to compile for.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from . import jit
from .jit import KernelSpec

_MOST_KERNELS = 6
"""A process compiles so many at most: each leaves some 8 MB behind that only its end gives back."""
_log = logging.getLogger("volconv")
# The parent's import path, not the working folder's: a stray numpy.py there must not be run.
_START = "import json, sys; job = json.loads(sys.stdin.readline()); sys.path[:] = job['path']; "
_START += "from volconv.kernels.compile_main import main; main(job)"


def compile_in_child(specs: Sequence[KernelSpec], jobs: int = 1) -> bool:
    """Compile `specs` into the cache, `jobs` processes at a time, and wait for them.

    Parameters
    ----------
    specs : sequence of KernelSpec
        What to compile; those `jit.missing` gave.
    jobs : int
        The number of child processes, each of about 220 MB while it lives.

    Returns
    -------
    bool
        Whether all of `specs` lie in the cache now. If not, `get_kernel` compiles the rest in this process.
    """
    folder = jit.kernel_cache().writable_folder()
    if folder is None or not sys.executable:
        return False
    room = _MOST_KERNELS * max(1, jobs)
    try:
        for start in range(0, len(specs), room):
            _compile_together(specs[start : start + room], jobs, str(folder))
    except OSError as error:
        _log.info("no child process for compiling kernels: %s", error)
    return not jit.missing(specs)


def _compile_together(specs: Sequence[KernelSpec], jobs: int, folder: str) -> None:
    """Compile `specs` in `jobs` child processes, and wait for them."""
    jobs = max(1, min(jobs, len(specs)))
    children: list[subprocess.Popen[str]] = []
    lifelines: list[IO[str]] = []
    try:
        for first in range(jobs):
            job = {"path": sys.path, "folder": folder, "specs": [s.to_json() for s in specs[first::jobs]]}
            child, lifeline = _start_child(json.dumps(job))
            children.append(child)
            lifelines.append(lifeline)
        for child in children:
            _, errors = child.communicate()
            if child.returncode:
                _log.info("compiling kernels in a child process failed (status %d): %s", child.returncode, errors)
    finally:
        for child in children:
            child.kill()
            child.wait()
        for lifeline in lifelines:
            with contextlib.suppress(OSError):
                lifeline.close()


def main(job: dict[str, list[object]]) -> None:
    """Compile the specs of `job` into its folder; end when stdin does, for then the parent has gone."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    jit.adopt_folder(Path(str(job["folder"])))
    for value in job["specs"]:
        jit.get_kernel(KernelSpec.from_json(list(value)))  # type: ignore[call-overload]


def _leave_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(1)


def _start_child(job: str) -> tuple[subprocess.Popen[str], IO[str]]:
    """Return a child at work on `job`, and the end of its stdin that keeps it alive."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lifeline, child.stdin = child.stdin, None  # else `communicate` would close it
    assert lifeline is not None
    try:
        lifeline.write(job + "\n")
        lifeline.flush()
    except BrokenPipeError:
        pass  # it died at once; its exit status tells
    return child, lifeline

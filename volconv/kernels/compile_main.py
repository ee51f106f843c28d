"""Compile kernels in child processes, before the work begins; the children leave the code in the cache and exit.

`compile_in_child` is the parent's side and `main` the child's. The child gets its job as JSON on stdin: the parent's
import path, the cache folder, the specs.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import jit
from .jit import KernelSpec

_log = logging.getLogger("volconv")
# The parent's import path, not the working folder's: a stray numpy.py there must not be run.
_START = "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
_START += "from volconv.kernels.compile_main import main; main(job)"


def compile_in_child(specs: Sequence[KernelSpec], jobs: int = 1) -> bool:
    """Compile `specs` into the cache, `jobs` processes at a time, and wait for them.

    Parameters
    ----------
    specs : sequence of KernelSpec
        What to compile; those `jit.missing` gave.
    jobs : int
        The number of child processes, each of about 250 MB while it lives.

    Returns
    -------
    bool
        Whether all of `specs` lie in the cache now. If not, `get_kernel` compiles the rest in this process.
    """
    folder = jit.kernel_cache().writable_folder()
    if folder is None or not sys.executable:
        return False
    jobs = max(1, min(jobs, len(specs)))
    children: list[subprocess.Popen[str]] = []
    try:
        for first in range(jobs):
            job = {"path": sys.path, "folder": str(folder), "specs": [s.to_json() for s in specs[first::jobs]]}
            children.append(_start_child(json.dumps(job)))
        for child in children:
            _, errors = child.communicate()
            if child.returncode:
                _log.info("compiling kernels in a child process failed (status %d): %s", child.returncode, errors)
    except OSError as error:
        _log.info("no child process for compiling kernels: %s", error)
    finally:
        for child in children:
            child.kill()
            child.wait()
    return not jit.missing(specs)


def main(job: dict[str, list[object]]) -> None:
    """Compile the specs of `job` into its folder."""
    jit.adopt_folder(Path(str(job["folder"])))
    for value in job["specs"]:
        jit.get_kernel(KernelSpec.from_json(list(value)))  # type: ignore[call-overload]


def _start_child(job: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    try:
        child.stdin.write(job)
        child.stdin.close()
    except BrokenPipeError:
        pass  # it died at once; its exit status tells
    child.stdin = None
    return child

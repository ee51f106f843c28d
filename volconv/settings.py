"""What this process may use of the machine: memory and processors, as cgroups, SLURM and ulimit allow.

Reads `/proc`, `/sys/fs/cgroup` and the environment; knows nothing of volumes or plans, and imports no NumPy.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path, PurePosixPath

from .errors import UsageError, show

_SIZE = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([kmgt]?)(i?)(b?)\s*\Z", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SLURM_UNIT = 2**20
_ROOT = Path("/")


def parse_size(text: str) -> int:
    """Return the bytes that `text` spells.

    Parameters
    ----------
    text : str
        A number and a unit: ``2GB`` (10^9), ``512MiB`` (2^20), ``1.5g`` (10^9), ``4096`` (bytes); case is ignored.

    Raises
    ------
    UsageError
        If it spells no size, or less than one byte.
    """
    match = _SIZE.match(text)
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"found {show(repr(text))}, expected a size such as 2GB, 512MiB or 1500000000")
    size = float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]
    if not 1 <= size < 2**63:
        raise UsageError(f"found {show(repr(text))}, expected a size of at least one byte that a machine can have")
    return int(size)


def memory_budget(
    text: str | int | None = None, *, root: Path = _ROOT, environ: Mapping[str, str] | None = None
) -> int:
    """Return the bytes of memory a run may take.

    Parameters
    ----------
    text : str or int, optional
        A size that decides alone, as `parse_size` reads it. Without one: half of `usable_memory`.
    root, environ
        Where `/proc` and `/sys` start, and the environment.
    """
    if text is not None:
        return parse_size(str(text))
    return max(1, usable_memory(root=root, environ=environ) // 2)


def usable_memory(*, root: Path = _ROOT, environ: Mapping[str, str] | None = None) -> int:
    """Return the bytes this process may use: the smallest of free memory, cgroup, SLURM and ulimit."""
    env = os.environ if environ is None else environ
    limits = [
        _available_memory(root),
        *_cgroup_memory(root),
        *_slurm_memory(env),
        *_ulimits(),
    ]
    return min(limits)


def usable_cpus(*, root: Path = _ROOT) -> int:
    """Return how many processors this process may keep busy: its affinity, cut to the cgroup's quota."""
    return min([_affinity(), *_cgroup_cpus(root)])


def thread_count(n: int | None = None, *, root: Path = _ROOT, environ: Mapping[str, str] | None = None) -> int:
    """Return the number of threads to run with.

    The first that is given decides: `n`, ``SLURM_CPUS_PER_TASK``, ``NUMBA_NUM_THREADS``, ``OMP_NUM_THREADS``,
    `usable_cpus`. It is cut to the processors of the affinity mask.

    Raises
    ------
    UsageError
        If `n` is less than 1.
    """
    if n is not None and n < 1:
        raise UsageError(f"found {n} threads, expected at least 1")
    env = os.environ if environ is None else environ
    asked = n
    for name in ("SLURM_CPUS_PER_TASK", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        # OpenMP allows a list, one number a nesting level; the outermost is meant.
        asked = asked or _number(env.get(name, "").partition(",")[0])
    return min(asked or usable_cpus(root=root), _affinity())


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _available_memory(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return max(1, _number(line.split()[1])) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _ulimits() -> Iterator[int]:
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield max(1, soft)


def _slurm_memory(env: Mapping[str, str]) -> Iterator[int]:
    node = _number(env.get("SLURM_MEM_PER_NODE", ""))
    if node:
        yield node * _SLURM_UNIT
    per_cpu = _number(env.get("SLURM_MEM_PER_CPU", ""))
    if per_cpu:
        cpus = _number(env.get("SLURM_CPUS_PER_TASK", "")) or _number(env.get("SLURM_CPUS_ON_NODE", "")) or 1
        yield per_cpu * cpus * _SLURM_UNIT


def _cgroup_memory(root: Path) -> Iterator[int]:
    for folder in _cgroup_folders(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            limit = _number("".join(_lines(folder / name)))
            if limit:
                yield limit


def _cgroup_cpus(root: Path) -> Iterator[int]:
    for folder in _cgroup_folders(root, "cpu"):
        words = "".join(_lines(folder / "cpu.max")).split()
        if not words:
            words = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
        quota, period = ([_number(word) for word in words] + [0, 0])[:2]
        if quota and period:
            yield max(1, ceil(quota / period))


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of all above it, for version 2 and for `controller` of version 1.

    A limit on any of them holds. Inside a container the named path may not be mounted; its parents then are.
    """
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        tops = [mount / controllers, mount / controller] if controllers else [mount, mount / "unified"]
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for top in dict.fromkeys(tops):
            for depth in range(len(parts), -1, -1):
                yield top.joinpath(*parts[:depth])


def _number(text: str) -> int:
    """Return the whole number that `text` spells, 0 for anything else (``max``, ``-1``, nothing)."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []

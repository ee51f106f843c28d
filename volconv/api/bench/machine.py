"""What a table of times has to say of where it was made: processor, memory, versions, day."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...kernels.catalog import vector_bits
from ...settings import usable_cpus


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, vector width, memory and system."""
    return {
        "processor": _processor(),
        "cores": usable_cpus(),
        "vector_bits": vector_bits(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of volconv and of what it computes with."""
    libraries = {name: version(name) for name in ("numpy", "numba", "llvmlite")}
    return {"volconv": __version__, "python": platform.python_version(), **libraries}


def today() -> str:
    """Return the day, in UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).date().isoformat()


def _processor() -> str:
    """Return the processor's name, with family and model, for virtual machines hide which it is."""
    found: dict[str, str] = {}
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in found:
        name += f" (family {found['cpu family']}, model {found.get('model', '?')})"
    return name


def _memory_gb() -> float | None:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) * 1024 / 1e9, 1)
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []

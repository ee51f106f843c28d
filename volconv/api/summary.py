"""What is said after a run: the summary, the sidecar, the Make rule."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..formats.atomic import PartFile, make_part, write_whole
from ..formats.rounding import value_notes
from ..kernels.catalog import has_fma, vector_bits
from ..plan.model import Plan
from ..plan.tiling import format_bytes
from .job import Job
from .outputs import expected_record
from .sidecar import make_sidecar
from .targets import sidecar_path


def summarise(job: Job, plan: Plan, seconds: float, resident: int = 0) -> dict[str, Any]:
    """Return the run as one JSON-able document; `resident` is the process's peak memory before it."""
    outputs = [
        {
            "path": target.name,
            "files": [str(path) for path in sink.paths],
            "stage": target.stage,
            "shape": list(sink.info.shape),
            "channels": sink.info.channels,
            "dtype": str(sink.info.dtype),
            "clipped": sink.clipped,
            "not_finite": sink.not_finite,
        }
        for target, sink in zip(job.targets, job.sinks, strict=True)
    ]
    return {
        "skipped": False,
        "outputs": outputs,
        "seconds": round(seconds, 3),
        "tiles": plan.count * plan.batch,
        "tiles_resumed": job.resumed,
        "tiles_computed": plan.count * plan.batch - job.resumed,
        "threads": job.threads,
        "macs": plan.macs,
        "peak_bytes": plan.peak_bytes,
        "peak_rss_bytes": peak_rss(),
        "arithmetic": "fma" if has_fma() else "no-fma",
        "vector_bits": vector_bits(),
        "warnings": [
            *job.source.warnings,
            *_damage_warnings(job),
            *_statistics_warnings(job),
            *_memory_warnings(job, plan, resident),
            *(
                note
                for target, sink in zip(job.targets, job.sinks, strict=True)
                for note in value_notes(target.full_name, sink.info.dtype, sink.clipped, sink.not_finite)
            ),
        ],
        "record": expected_record(job, job.targets[0]),
        "plan": plan.to_json(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
    }


def _memory_warnings(job: Job, plan: Plan, resident: int) -> list[str]:
    """Return a sentence if the process took more than it was given: the promise was broken, and should be reported."""
    peak = peak_rss()
    if peak <= max(job.budget, plan.peak_bytes, resident):
        return []
    return [f"memory peaked at {format_bytes(peak)}, where {format_bytes(plan.peak_bytes)} were predicted"]


def _damage_warnings(job: Job) -> list[str]:
    if not job.damaged:
        return []
    return [f"{job.damaged} finished tile(s) of the run that was cut off were damaged, and computed again"]


def _statistics_warnings(job: Job) -> list[str]:
    """Return a sentence a norm of a volume that is not finite: labels that come of it would not show it."""
    return [
        f"stage {name!r}: its statistics are NaN or infinite, and so is all it gives, since some of its input is"
        for name in job.spoilt
    ]


def peak_rss() -> int:
    """Return the process's largest resident size so far, in bytes.

    Linux hands ``ru_maxrss`` down from the process that started this one; ``VmHWM`` is this one's own.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def write_sidecar(job: Job, summary: dict[str, Any], places: Mapping[Path, Path]) -> PartFile:
    """Return the completed part of the sidecar, which stands beside the first output; arguments as `make_sidecar`'s."""
    text = json.dumps(make_sidecar(job, summary, places), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return make_part(sidecar_path(job.targets), text.encode("utf-8", "surrogateescape"), job.options.force)


def write_depfile(job: Job, path: Path) -> None:
    """Write a Make rule: every output depends on every file that was read."""
    outputs = dict.fromkeys(escape_make(path) for path in job.files_written)
    sources = dict.fromkeys(escape_make(source) for source in job.files_read)
    # a rule without a recipe for each source keeps Make going when one of them is gone
    rules = [f"{' '.join(outputs)}: {' '.join(sources)}", *(f"{source}:" for source in sources)]
    write_whole(path, ("\n".join(rules) + "\n").encode("utf-8", "surrogateescape"), force=True)


def escape_make(path: Path) -> str:
    """Return `path` as GNU Make reads it back: dollars doubled, blanks, hashes and colons behind a backslash."""
    text = os.fspath(path).replace("$", "$$")
    return "".join(f"\\{c}" if c in " \t#:" else c for c in text)

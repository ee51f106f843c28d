"""What is said after a run: the summary, the sidecar, the Make rule."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

from ..formats.atomic import PartFile
from ..formats.names import parse_volume_name
from ..kernels.catalog import has_fma, vector_bits
from ..plan.model import Plan
from ..plan.tiling import format_bytes
from .job import Job, expected_record


def summarise(job: Job, plan: Plan, seconds: float) -> dict[str, Any]:
    """Return the run as one JSON-able document."""
    outputs = [
        {
            "path": target.name,
            "stage": target.stage,
            "shape": list(sink.info.shape),
            "channels": sink.info.channels,
            "dtype": str(sink.info.dtype),
            "clipped": sink.clipped,
        }
        for target, sink in _pairs(job)
    ]
    return {
        "skipped": False,
        "outputs": outputs,
        "seconds": round(seconds, 3),
        "tiles": plan.count * plan.batch,
        "threads": job.threads,
        "macs": plan.macs,
        "peak_bytes": plan.peak_bytes,
        "peak_rss_bytes": peak_rss(),
        "arithmetic": "fma" if has_fma() else "no-fma",
        "vector_bits": vector_bits(),
        "warnings": [*job.source.warnings, *_memory_warnings(job, plan), *_clip_warnings(outputs)],
        "record": expected_record(job, job.targets[0]),
    }


def _memory_warnings(job: Job, plan: Plan) -> list[str]:
    """Return a sentence if the process took more than it was given: the promise was broken, and should be reported."""
    peak = peak_rss()
    if peak <= max(job.budget, plan.peak_bytes):
        return []
    return [f"memory peaked at {format_bytes(peak)}, where {format_bytes(plan.peak_bytes)} were predicted"]


def _clip_warnings(outputs: list[dict[str, Any]]) -> list[str]:
    return [
        f"{entry['path']}: {entry['clipped']} values do not fit {entry['dtype']} and were clipped"
        for entry in outputs
        if entry["clipped"]
    ]


def _pairs(job: Job) -> list[tuple[Any, Any]]:
    taken: dict[str, int] = {}
    pairs = []
    for target in job.targets:
        n = taken.get(target.stage, 0)
        taken[target.stage] = n + 1
        pairs.append((target, job.sinks[target.stage][n]))
    return pairs


def peak_rss() -> int:
    """Return the process's largest resident size so far, in bytes."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def write_sidecar(job: Job, plan: Plan, summary: dict[str, Any]) -> None:
    """Write the record with command line, timings, plan and machine as JSON beside the first output."""
    document = {
        **summary,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "plan": plan.to_json(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
    }
    _write(sidecar_path(job), json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def sidecar_path(job: Job) -> Path:
    """Return where the sidecar goes: the first output's name with ``.json`` for its ending."""
    volume = parse_volume_name(job.targets[0].name)
    return volume.path.with_name(f"{volume.stem}.json")


def write_depfile(job: Job, path: Path) -> None:
    """Write a Make rule: every output depends on every file that was read."""
    outputs = dict.fromkeys(escape_make(parse_volume_name(target.name).path) for target in job.targets)
    sources = dict.fromkeys(escape_make(source) for source in job.files_read)
    # a rule without a recipe for each source keeps Make going when one of them is gone
    rules = [f"{' '.join(outputs)}: {' '.join(sources)}", *(f"{source}:" for source in sources)]
    _write(path, "\n".join(rules) + "\n")


def escape_make(path: Path) -> str:
    """Return `path` as GNU Make reads it back: dollars doubled, blanks, hashes and colons behind a backslash."""
    text = os.fspath(path).replace("$", "$$")
    return "".join(f"\\{c}" if c in " \t#:" else c for c in text)


def _write(path: Path, text: str) -> None:
    part = PartFile(path, force=True)
    try:
        with os.fdopen(os.dup(part.fd), "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
        part.commit()
    finally:
        part.abort()

"""What a job folder says of its job: all that decides the result's bytes, so that a run with another one is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import ResumeError
from ..formats.names import parse_volume_name
from ..kernels.catalog import has_fma
from ..plan.model import Edges, Plan
from .job import Job
from .outputs import dataset_of, digest_files
from .provenance import plain, value_options

JOB_FORMAT = 1
_ANEW = "or leave out --resume to start anew"


def describe_job(job: Job, plan: Plan) -> dict[str, Any]:
    """Return the document of `job`, to be carried out as `plan` says."""
    quick = _describe_quickly(job)
    return {**quick, **_digests(job), "files": _identities(job), "grids": plan.grids, "peak_bytes": plan.peak_bytes}


def _describe_quickly(job: Job) -> dict[str, Any]:
    """Return what is known of a job without reading whole files."""
    home = parse_volume_name(job.targets[0].name).path.absolute().parent
    return {
        "format": JOB_FORMAT,
        "volconv": __version__,
        "arithmetic": "fma" if has_fma() else "no-fma",
        "spec": {"name": job.spec.name, "sha256": job.spec.digest},
        "parameters": {name: plain(value) for name, value in job.spec.settings.items()},
        "options": value_options(job.options),
        "datasets": [dataset_of(source) for source in getattr(job.source, "sources", [job.source])],
        "outputs": [
            {"stage": t.stage, "file": os.path.relpath(Path(t.name).absolute(), home), "dataset": t.dataset}
            for t in job.targets
        ],
    }


def _digests(job: Job) -> dict[str, Any]:
    digest_files(job)
    assert job.digests is not None
    return dict(zip(("inputs", "weights"), job.digests, strict=True))


def _identities(job: Job) -> list[dict[str, Any]]:
    """Return name, size, time and inode of every file that is read."""
    found = [(path.name, path.stat()) for path in job.files_read]
    return [{"name": n, "size": s.st_size, "mtime_ns": s.st_mtime_ns, "inode": s.st_ino} for n, s in found]


def check_document(document: Mapping[str, Any], job: Job, folder: Path, thorough: bool) -> tuple[Edges, ...]:
    """Return the tile grid in `document`, found in `folder`, if it describes `job`.

    Where not `thorough`, files that have the size, time and inode they had are taken for the same.

    Raises
    ------
    ResumeError
        If it describes another job, or is damaged.
    """
    reason = _find_difference(document, _describe_quickly(job))
    if reason is None and (thorough or document.get("files") != _identities(job)):
        reason = _compare_files(document, _digests(job))
    if reason is not None:
        raise ResumeError(f"the job there was begun {reason}, {_ANEW}", file=str(folder))
    grids = _read_grids(document.get("grids"))
    if not grids:
        raise damaged(folder)
    return grids


def damaged(folder: Path) -> ResumeError:
    """Return the error for a document that is not as it was written."""
    message = "found a damaged job.json, expected the tile grid of this job; leave out --resume to start anew"
    return ResumeError(message, file=str(folder))


def _read_grids(value: Any) -> tuple[Edges, ...]:
    """Return the borders of tiles that JSON holds; nothing where it holds none."""

    def is_axis(axis: Any) -> bool:
        return isinstance(axis, list) and len(axis) > 1 and all(type(n) is int for n in axis)

    if not isinstance(value, list) or not all(isinstance(grid, list) and len(grid) == 3 for grid in value):
        return ()
    if not all(is_axis(axis) for grid in value for axis in grid):
        return ()
    return tuple((tuple(d), tuple(h), tuple(w)) for d, h, w in value)


def _find_difference(old: Mapping[str, Any], described: Mapping[str, Any]) -> str | None:
    """Return how the job `old` was begun where that is not as `described`; None where there is no difference."""
    new = json.loads(json.dumps(described))  # lists for tuples, as `old` has them
    differs = [key for key in new if old.get(key) != new[key]]
    if not differs:
        return None
    key = differs[0]
    before, now = old.get(key), new[key]
    if key == "format":
        return f"by another volconv, job format {before}, expected format {now}; run it with that one"
    if key == "volconv":
        return f"by volconv {before}, this is {now}; run it with that version"
    if key == "arithmetic":
        return f"on a machine with {before} arithmetic, this one has {now}; run it on one like that"
    if key == "spec":
        return f"with another spec, {_name(before)}; this one is {_name(now)}; give that one"
    if key in ("parameters", "options"):
        found = _compare_options(_mapping(before), now, "--set " if key == "parameters" else "--")
        return next(found, f"with other {key}; give the same")
    if key == "datasets":
        return f"with the datasets {_texts(before)}, this run reads {_texts(now)}; name the same"
    return f"for the outputs {_outputs(before)}, this run is for {_outputs(now)}; name the same"


def _compare_options(before: Mapping[str, Any], now: Mapping[str, Any], said: str) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            option = said + (name if said.endswith(" ") else name.replace("_", "-"))
            yield f"with {option} {_value(before, name)}, this run has {_value(now, name)}; give the same"


def _compare_files(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    for kind, what in (("inputs", "another input"), ("weights", "other weights")):
        for before, now in zip_longest(_list(old.get(kind)), new[kind]):
            if before is None or now is None or before.get("sha256") != now["sha256"]:
                return f"with {what}, {_name(before)}; this run reads {_name(now)}; give that file"
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [_mapping(entry) for entry in value] if isinstance(value, list) else []


def _name(entry: Any) -> str:
    if not entry:
        return "none"
    return f"{_mapping(entry).get('name')} (SHA-256 {str(_mapping(entry).get('sha256'))[:12]}...)"


def _value(values: Mapping[str, Any], name: str) -> str:
    return str(values[name]) if name in values else "left out"


def _texts(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "none"


def _outputs(value: Any) -> str:
    return ", ".join(f"{o.get('stage')} ({o.get('file')})" for o in _list(value)) or "none"

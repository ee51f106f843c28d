"""Decides whether an output can stay: it is whole, and was made from the same spec, weights, inputs and options."""

from __future__ import annotations

from ..errors import VolconvError
from ..formats.base import Sink
from ..formats.open import open_source
from ..formats.record import read_record
from .job import Job
from .outputs import expected_record
from .targets import Target


def is_up_to_date(job: Job) -> bool:
    """Return whether every output of `job`, whose sinks are open, exists, is whole and fits."""
    return all(
        _fits(job, target, name)
        for target, sink in zip(job.targets, job.sinks, strict=True)
        for name in _volume_names(target, sink)
    )


def _volume_names(target: Target, sink: Sink) -> list[str]:
    """Return the volumes that `target` becomes: one, or one a channel."""
    if sink.path in sink.paths:
        return [target.full_name]
    return [str(path) for path in sink.paths]


def _fits(job: Job, target: Target, name: str) -> bool:
    try:
        found = read_record(name)
        if found is None or {**found, "inputs": [], "weights": []} != expected_record(job, target, digests=False):
            return False
        return found == expected_record(job, target) and _is_whole(name)
    except VolconvError:
        return False


def _is_whole(name: str) -> bool:
    """Return whether the file's header fits its length, and a compressed one its checksum."""
    source = open_source(name, channels=None)
    try:
        if source.spool_bytes:
            source.load(None)
        return True
    finally:
        source.close()

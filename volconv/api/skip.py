"""Decides whether an output can stay: it is whole, and was made from the same spec, weights, inputs and options."""

from __future__ import annotations

from ..errors import VolconvError
from ..formats.names import parse_volume_name
from ..formats.open import open_source
from ..formats.record import read_record
from .job import Job, expected_record
from .targets import Target, check_targets


def is_up_to_date(job: Job) -> bool:
    """Return whether every output of `job` exists, is whole and fits; if not, an existing one must be replaceable.

    Raises
    ------
    OutputError
        If an output exists that does not fit, and ``--force`` is not given.
    """
    if all(_fits(job, target) for target in job.targets):
        return True
    check_targets(job.targets, job.files_read, job.options.force)
    return False


def _fits(job: Job, target: Target) -> bool:
    if not parse_volume_name(target.name).path.exists():
        return False
    try:
        return read_record(target.name) == expected_record(job, target) and _is_whole(target)
    except VolconvError:
        return False


def _is_whole(target: Target) -> bool:
    """Return whether the file's header fits its length, and a compressed one its checksum."""
    name = target.name if target.dataset is None else f"{target.name}:{target.dataset}"
    source = open_source(name, channels=None)
    try:
        if source.spool_bytes:
            source.load(None)
        return True
    finally:
        source.close()

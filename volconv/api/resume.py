"""Runs that can be cut off and resumed: which folder is a job's, and what is kept in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BudgetError
from ..formats.names import parse_volume_name
from ..plan.model import Plan
from ..plan.tiling import format_bytes
from ..run.events import Emit
from ..run.job_folder import JobFolder, count_finished, read_document, remove_leftover
from .job import Job
from .job_document import check_document, damaged, describe_job

if TYPE_CHECKING:
    from ..run.job_ledger import JobLedger

_NAME_BYTES = 200


def folder_of(job: Job) -> Path:
    """Return the job folder of `job`: its scratch folder; in one that is named, and that others may use, its own."""
    if job.options.scratch is None:
        return job.scratch
    path = parse_volume_name(job.targets[0].name).path
    digest = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:8]
    name = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])
    return job.options.scratch / f"{name}-{digest}.volconv"


def open_folder(job: Job) -> None:
    """With ``--resume``, open the job folder of `job`, and see what is to be resumed.

    Raises
    ------
    OutputError
        If it cannot be made.
    ResumeError
        If it is of a job with another result.
    """
    path, named = folder_of(job), job.options.scratch is not None
    if not job.options.resume or not (named or path.parent.is_dir()):  # `check_files` says what is wrong with a parent
        return
    document = read_document(path)
    if document is not None:
        job.grids = check_document(document, job, path, thorough=True)
    job.folder = JobFolder(path, within=named)


def look_for_job(job: Job) -> int:
    """Return how many tiles of `job` are finished, and note its tile grid; nothing is held or changed.

    Raises
    ------
    ResumeError
        If its folder is of a job with another result.
    """
    path = folder_of(job)
    document = read_document(path)
    if document is None:
        return 0
    job.grids = check_document(document, job, path, thorough=False)
    return count_finished(path)


def prepare_disk(job: Job, plan: Plan) -> None:
    """See whether the disk has room for a run that keeps its tiles; before any other, remove what such a one has left.

    Raises
    ------
    BudgetError
        It has not.
    """
    if job.folder is None:
        remove_leftover(folder_of(job))
        return
    folder = job.folder.path
    with suppress(OSError):  # what cannot be told now shows when it is written
        home = folder.stat().st_dev
        needs, places = {home: plan.scratch_bytes}, {home: folder}
        for sink in job.sinks:  # they are made after the last tile
            if sink.path is not None and sink.path.suffix != ".gz":  # who knows what that will come to
                place = Path(os.path.realpath(sink.path)).parent
                device = place.stat().st_dev
                needs[device] = needs.get(device, 0) + sink.info.nbytes
                places.setdefault(device, place)
        kept = sum(path.stat().st_blocks * 512 for path in folder.glob("tiles-*"))
        for device, need in needs.items():
            disk = os.statvfs(places[device])
            have = disk.f_bavail * disk.f_frsize + (kept if device == home else 0)
            if need > have:
                what = "tiles and outputs" if device == home else "outputs"
                raise BudgetError(
                    f"{what} need {format_bytes(need)} of disk, which has {format_bytes(have)} left",
                    code="disk.budget",
                    file=str(places[device]),
                )


@contextmanager
def keep_tiles(job: Job, plan: Plan, emit: Emit) -> Iterator[JobLedger]:
    """Yield the ledger of `job`, whose folder is held; the digests of all that is read are known."""
    from ..run.job_ledger import JobLedger

    assert job.folder is not None
    if not job.grids:
        job.folder.write_document(describe_job(job, plan))
    elif job.grids != plan.grids:
        raise damaged(job.folder.path)
    ledger = JobLedger(job.folder, plan, emit, job.source.check_unchanged)
    job.resumed, job.damaged = ledger.resumed, ledger.damaged
    try:
        yield ledger
    finally:
        ledger.close()

"""What a run would do, without reading a voxel."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from ..errors import BudgetError
from ..formats.base import Source
from ..formats.names import HDF5, parse_volume_name
from ..formats.prepared import PreparedSource
from ..plan.cost import BASELINE_BYTES, HDF5_BYTES, RECORD_BYTES, Traffic
from ..plan.make import make_plan
from ..plan.model import Plan
from .job import Job, open_job
from .options import make_options
from .outputs import check_files, finishing_of, open_sinks

_INFLATE_RATE, _DEFLATE_RATE = 5e8, 1.5e8
"""Bytes of voxels a second through gzip, in and out, for the time estimate."""
_GATHER_SECONDS, _TAP_SECONDS = 1.5e-8, 2e-9
"""A value read once for statistics; a product of resampling, with what moves its operand."""
_HOLD_SHARE = 4
"""A compressed input is held in memory up to this fraction of the budget, else spooled to the scratch folder."""


def plan(spec: Any, inputs: Any, output: str | Path | None = None, **options: Any) -> Plan:
    """Return the plan of running `spec` on `inputs`.

    Parameters
    ----------
    spec : str, path or mapping
        A path ending in ``.yaml``, ``.yml`` or ``.json``, the name of a preset, or a mapping of the same structure.
    inputs : str, path or sequence of them
        Several are the channels, in order.
    output : str or path, optional
        Where the result would go; its needs are counted then.
    **options
        Those of `volconv.run`.

    Returns
    -------
    Plan
        ``.tiles``, ``.peak_bytes``, ``.graph``; ``print(plan)`` shows the table, ``.to_json()`` the document.

    Raises
    ------
    VolconvError
        For everything `run` would refuse before reading voxels.
    """
    options.pop("on_event", None)
    job = open_job(spec, inputs, output, make_options(**options))
    try:
        open_sinks(job, records=False)
        done, finished = _look_for_job(job) if job.options.resume and job.targets else (None, False)
        if not (job.options.skip_existing or finished):
            check_files(job)
        return replace(plan_job(job), done=done)
    finally:
        job.close()


def _look_for_job(job: Job) -> tuple[int, bool]:
    """Return how many tiles of a job to be resumed are done, and whether its outputs are there."""
    from .resume import look_for_job
    from .skip import is_up_to_date

    return look_for_job(job), is_up_to_date(job)


def plan_job(job: Job) -> Plan:
    """Return the plan of `job`, its sinks' needs counted.

    Raises
    ------
    BudgetError
        If nothing fits the memory budget.
    """
    job.holds_input = job.source.spool_bytes * _HOLD_SHARE <= job.budget
    _hold_results(job, _waiting_bytes(job) * _HOLD_SHARE <= job.budget)
    try:
        return _plan(job)
    except BudgetError:
        if not (job.holds_input and job.source.spool_bytes) and not _waiting_bytes(job):
            raise
        job.holds_input = False
        _hold_results(job, False)
        return _plan(job)


def _waiting_bytes(job: Job) -> int:
    """Return the bytes of results that wait in memory to be brought back to the scan's grid."""
    return sum(getattr(sink, "resident_bytes", 0) for sink in job.sinks)


def _hold_results(job: Job, held: bool) -> None:
    if held != job.holds_results:
        job.holds_results = held
        open_sinks(job, records=False)


def _plan(job: Job) -> Plan:
    options, source = job.options, job.source
    volumes = [*map(str, job.inputs), *(target.name for target in job.targets)]
    uses_hdf5 = any(parse_volume_name(name).format == HDF5 for name in volumes) or job.loader.uses_hdf5
    packed = sum(s.info.nbytes for s in job.sinks if s.path is not None and s.path.name.lower().endswith(".gz"))
    resident = (source.spool_bytes if job.holds_input else 0) + _waiting_bytes(job)
    spooled = 0 if job.holds_input else source.spool_bytes

    def write_bytes(stage: str) -> Any:
        return lambda shape: max(sink.window_bytes(shape) for sink in job.sinks_of(stage))

    kept = RECORD_BYTES if options.resume else 0
    gathered, finishing = _label_bytes(job)
    written = (target.stage for target in job.targets if target.stage in job.chains)
    finishing += max((write_bytes(stage)(job.wire(stage).shape) for stage in written), default=0)
    traffic = Traffic(
        resident + gathered + kept,
        source.window_bytes,
        {target.stage: write_bytes(target.stage) for target in job.targets if target.stage not in job.chains},
        spooled + sum(sink.scratch_bytes for sink in job.sinks),
        BASELINE_BYTES + (HDF5_BYTES if uses_hdf5 else 0),
        source.info.chunks,
        source.info.storage_order[-1],
        source.spool_bytes / _INFLATE_RATE + packed / _DEFLATE_RATE + _prepare_seconds(source),
        finishing,
    )
    read = ", ".join(path.name for path in job.inputs)
    made = make_plan(
        job.graph,
        budget=job.budget,
        traffic=traffic,
        threads=job.threads,
        tile=options.tile,
        batch=source.info.batch,
        description=f"{job.spec.name} on {read}",
        overlap=True,
        spill=True,
        grids=job.grids,
    )
    before, after = _outside_stages(job)
    scratch = made.scratch_bytes
    if options.resume:
        from ..run.records import recorded_bytes

        scratch += recorded_bytes(made)
    return replace(made, chains=job.chains, before=before, after=after, scratch_bytes=scratch)


def _label_bytes(job: Job) -> tuple[int, int]:
    """Return the bytes of label maps that are held whole, and what finishing them takes beside."""
    if not job.chains:
        return 0, 0
    from ..run.label_maps import finishing_bytes, gathered_bytes

    return gathered_bytes(job.chains, job.source.info.batch), finishing_bytes(job.chains)


def _prepare_seconds(source: Source) -> float:
    """Return what statistics take before the first tile, and resampling in all."""
    if not isinstance(source, PreparedSource):
        return 0.0
    values = prod(source.bounds) * source.info.channels * source.info.batch
    return values * (source.passes * _GATHER_SECONDS + (1 + source.passes) * source.taps * _TAP_SECONDS)


def _outside_stages(job: Job) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a line for each step before the first stage and after the last."""
    if not isinstance(job.source, PreparedSource):
        return (), ()
    after = []
    for stage in dict.fromkeys([*job.spec.outputs, *(target.stage for target in job.targets)]):
        finishing = finishing_of(job, stage)
        lines = [] if finishing is None else finishing.describe(job.holds_results)
        after += [line if len(job.spec.outputs) == 1 else f"{stage}: {line}" for line in lines]
    return tuple(job.source.describe()), tuple(after)

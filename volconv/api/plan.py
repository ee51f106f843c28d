"""What a run would do, without reading a voxel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BudgetError
from ..formats.names import HDF5, parse_volume_name
from ..plan.cost import BASELINE_BYTES, HDF5_BYTES, Traffic
from ..plan.make import make_plan
from ..plan.model import Plan
from .job import Job, open_job
from .options import make_options
from .outputs import check_files, open_sinks

_INFLATE_RATE, _DEFLATE_RATE = 5e8, 1.5e8
"""Bytes of voxels a second through gzip, in and out, for the time estimate."""
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
        if not job.options.skip_existing:
            check_files(job)
        return plan_job(job)
    finally:
        job.close()


def plan_job(job: Job) -> Plan:
    """Return the plan of `job`, its sinks' needs counted.

    Raises
    ------
    BudgetError
        If nothing fits the memory budget.
    """
    job.holds_input = job.source.spool_bytes * _HOLD_SHARE <= job.budget
    try:
        return _plan(job)
    except BudgetError:
        if not (job.holds_input and job.source.spool_bytes):
            raise
        job.holds_input = False
        return _plan(job)


def _plan(job: Job) -> Plan:
    options, source = job.options, job.source
    volumes = [*map(str, job.inputs), *(target.name for target in job.targets)]
    uses_hdf5 = any(parse_volume_name(name).format == HDF5 for name in volumes) or job.loader.uses_hdf5
    packed = sum(s.info.nbytes for s in job.sinks if s.path is not None and s.path.name.lower().endswith(".gz"))
    resident = source.spool_bytes if job.holds_input else 0
    spooled = 0 if job.holds_input else source.spool_bytes

    def write_bytes(stage: str) -> Any:
        return lambda shape: max(sink.window_bytes(shape) for sink in job.sinks_of(stage))

    traffic = Traffic(
        resident,
        source.window_bytes,
        {target.stage: write_bytes(target.stage) for target in job.targets},
        spooled + sum(sink.scratch_bytes for sink in job.sinks),
        BASELINE_BYTES + (HDF5_BYTES if uses_hdf5 else 0),
        source.info.chunks,
        2 if source.info.axes == "kji" else 0,
        source.spool_bytes / _INFLATE_RATE + packed / _DEFLATE_RATE,
    )
    read = ", ".join(path.name for path in job.inputs)
    return make_plan(
        job.graph,
        budget=job.budget,
        traffic=traffic,
        threads=job.threads,
        tile=options.tile,
        batch=source.info.batch,
        description=f"{job.spec.name} on {read}",
        overlap=True,
        spill=True,
    )

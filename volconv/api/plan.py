"""What a run would do, without reading a voxel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..plan.model import Plan
from .job import check_files, open_job, open_sinks, plan_job
from .options import make_options


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

"""The whole run: from names on a command line to outputs that are whole or absent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event as Flag
from typing import Any

from ..errors import OutputError
from ..formats.prepared import PreparedSource
from ..plan.model import Plan
from ..run.events import Compiling, Emit, Event, Finished, Phase, Warned, ignore
from ..run.label_maps import GatheredLabels, gather_labels
from ..run.worker import Task, run_beside
from .commit import claim, commit
from .job import Job, open_job
from .options import Options, make_options
from .outputs import check_files, digest_files, open_sinks
from .plan import plan_job
from .resume import keep_tiles, open_folder, prepare_disk
from .skip import is_up_to_date
from .summary import peak_rss, summarise, write_depfile
from .targets import Target, sidecar_path


def run(
    spec: Any,
    inputs: Any,
    output: str | Path,
    *,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Run a pipeline over a volume and write the result.

    Parameters
    ----------
    spec : str, path or mapping
        A path ending in ``.yaml``, ``.yml`` or ``.json``, the name of a preset, or a mapping of the same structure.
    inputs : str, path or sequence of them
        ``.nii``, ``.nii.gz``, ``.hdr/.img``, ``.h5``, ``scan.h5:/dataset``; several are the channels, in order.
    output : str or path
        The format follows the name. Several outputs become ``OUT_<stage>.nii.gz``, or datasets of one HDF5 file.
    on_event : callable, optional
        Called with the events of `volconv.run.events`, not always from the calling thread.
    **options
        ``weights mask settings axes spacing memory scratch tile threads algorithm output_type dtype channels save
        force skip_existing resume depfile sidecar``: the command line's long options; `settings` is ``--set``.

    Returns
    -------
    dict
        A summary: outputs, seconds, tiles (those that an earlier run had finished, and those that were computed),
        predicted and real peak memory, warnings, the record.

    Raises
    ------
    VolconvError
        With the exit code of its kind; nothing stands under an output's name then.
    """
    started, resident = time.perf_counter(), peak_rss()
    emit: Emit = on_event or ignore
    checked = make_options(**options)
    job = open_job(spec, inputs, output, checked, lambda targets: _claim(targets, checked, emit))
    finished = False
    try:
        open_sinks(job, records=False)
        open_folder(job)
        if (checked.skip_existing or checked.resume) and is_up_to_date(job):
            finished = True
            if checked.depfile is not None:  # Make wants to know all the same
                write_depfile(job, checked.depfile)
            return {"skipped": True, "outputs": [{"path": t.name, "stage": t.stage} for t in job.targets]}
        check_files(job)
        plan = plan_job(job)
        prepare_disk(job, plan)
        summary = _work(job, plan, emit, lambda: summarise(job, plan, time.perf_counter() - started, resident))
        finished = True
        for message in summary["warnings"]:
            emit(Warned(message))
        emit(Finished(tuple(target.full_name for target in job.targets), summary["seconds"]))
        return summary
    finally:
        try:
            if job.folder is not None:
                job.folder.release(finished)
        finally:
            job.close()


def _claim(targets: Sequence[Target], options: Options, emit: Emit) -> contextlib.AbstractContextManager[None]:
    names = list(dict.fromkeys(target.name for target in targets))
    beside = [sidecar_path(targets)] if options.sidecar else []
    return claim(names, lambda said: emit(Warned(said)), split=options.channels == "split", beside=beside)


def _work(job: Job, plan: Plan, emit: Emit, make_summary: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Compute and commit; whatever goes wrong, nothing half-made stays."""
    made = _make_scratch(job)
    try:
        run_beside(lambda stop: _compute(job, plan, emit, stop))
        return commit(job, make_summary)
    except BaseException:
        for sink in job.sinks:
            sink.abort()
        raise
    finally:
        if made or job.options.scratch is None:  # what others have put there stays, and the folder with it
            with contextlib.suppress(OSError):
                job.scratch.rmdir()


def _compute(job: Job, plan: Plan, emit: Emit, stop: Flag) -> None:
    hashing = Task(lambda: digest_files(job))
    from ..engine.compiling import compile_jobs
    from ..engine.relay import Relay

    beside_input = compile_jobs(job.threads, job.budget - (job.source.spool_bytes if job.holds_input else 0))
    jobs = beside_input or compile_jobs(job.threads, job.budget)
    engine = Relay(job.threads, lambda count: emit(Compiling(count)), jobs, job.scratch)
    try:
        if not beside_input:  # one after the other, then
            engine.make_ready(plan)
        _run_tiles(job, plan, engine, hashing, emit, stop)
    finally:
        job.spoilt = tuple(engine.spoilt)
        engine.close()


def _run_tiles(job: Job, plan: Plan, engine: Any, hashing: Task, emit: Emit, stop: Flag) -> None:
    from ..run import overlapped

    loading = Task(lambda: _load(job, emit))
    try:
        engine.prepare(plan)
    finally:
        loading.wait()  # whoever closes the source must not meet a thread that reads it
    hashing.wait()
    if stop.is_set():  # the caller may have gone on meanwhile: nobody would remove what is made now
        return
    if job.folder is None:
        sinks = _create_sinks(job, plan)
        overlapped.execute(plan, engine, job.source, sinks, emit, stop)
        job.source.check_unchanged()
    else:
        with keep_tiles(job, plan, emit) as ledger:
            overlapped.execute(plan, engine, job.source, ledger.sinks, emit, stop, ledger)
            job.source.check_unchanged()
            if stop.is_set():
                return
            engine.close()  # its memory is the writing's
            sinks = _create_sinks(job, plan)
            emit(Phase("writing"))
            ledger.fill(sinks, stop)
    if job.chains and not stop.is_set():
        engine.close()  # its memory is the finishing's
        emit(Phase("finishing labels"))
        for labels in dict.fromkeys(taker for takers in sinks.values() for taker in takers):
            if isinstance(labels, GatheredLabels):
                labels.write_all(sinks)


def _create_sinks(job: Job, plan: Plan) -> dict[str, list[Any]]:
    """Make the outputs' hidden files; return what takes the tiles of each stage, label maps that are gathered too."""
    open_sinks(job, records=True)
    for sink in job.sinks:
        sink.create()
    sinks: dict[str, list[Any]] = {target.stage: job.sinks_of(target.stage) for target in job.targets}
    for stage, labels in gather_labels(job.chains, plan.batch).items():
        sinks.setdefault(stage, []).append(labels)
    return sinks


def _load(job: Job, emit: Emit) -> None:
    """Make the input readable in windows, while kernels are loaded."""
    if job.source.spool_bytes:
        emit(Phase("decompressing"))
    if isinstance(job.source, PreparedSource) and job.source.passes:
        emit(Phase("gathering statistics"))
    job.source.load(None if job.holds_input else job.scratch)


def _make_scratch(job: Job) -> bool:
    """Make the scratch folder, readable by its owner alone; return whether it was not there before."""
    try:
        job.scratch.mkdir(mode=0o700, exist_ok=False)
    except FileExistsError:
        if not job.scratch.is_dir():
            raise OutputError("is no folder; give --scratch DIR", file=str(job.scratch)) from None
        return False
    except OSError as error:
        raise OutputError(f"scratch folder cannot be made: {error.strerror}", file=str(job.scratch)) from error
    return True

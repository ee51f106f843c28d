"""The outputs of a run before they are written: sinks with their records, and which files they may become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError
from ..formats.atomic import check_output, check_unwritten
from ..formats.base import Sink, Source
from ..formats.finishing import Finishing, make_output_info
from ..formats.names import parse_volume_name
from ..formats.open import open_sink
from ..formats.run_folder import folder_of
from ..numeric import label_dtype
from ..volume import OutputInfo
from .job import Job
from .prepared import finish_with, make_finishing
from .provenance import format_record, make_record
from .targets import Target, sidecar_path


def open_sinks(job: Job, records: bool) -> None:
    """Open a sink for every target of `job`; nothing is written before their `create`.

    With `records` false the files' records, which hold the digests of everything that is read, are left out, and
    outputs that exist are no error yet: such sinks are for planning, and for `check_files`.
    """
    job.scratch, force = _scratch_folder(job), job.options.force or not records
    grouped = {str(target.dataset): _output_info(job, target, records) for target in job.targets if target.dataset}
    together: Mapping[str, Sink] = {}
    if grouped:
        from ..formats.hdf5_sink import open_hdf5_sinks

        path = next(parse_volume_name(target.name).path for target in job.targets if target.dataset)
        together = open_hdf5_sinks(path, grouped, force=force)
    sinks = [
        together[target.dataset]
        if target.dataset
        else open_sink(
            target.name,
            _output_info(job, target, records),
            scratch=job.scratch,
            force=force,
            channels=job.options.channels,
            threads=job.threads,
        )
        for target in job.targets
    ]
    job.sinks = [
        finish_with(finishing_of(job, target.stage), sink, job.wire(target.stage), job.scratch, job.holds_results)
        for target, sink in zip(job.targets, sinks, strict=True)
    ]


def finishing_of(job: Job, stage: str) -> Finishing | None:
    """Return what becomes of the result of `stage` before it is written; None where it is written as it is."""
    return make_finishing(job.source, job.wire(stage))


def _output_info(job: Job, target: Target, record: bool) -> OutputInfo:
    wire, source = job.wire(target.stage), job.source.info
    dtype = np.dtype(job.options.dtype or (label_dtype(wire.labels) if wire.labels else "float32"))
    text = format_record(expected_record(job, target)) if record else ""
    info = OutputInfo(wire.shape, wire.channels, dtype, source, wire.voxel_map, source.batch, wire.labels > 0, text)
    return make_output_info(finishing_of(job, target.stage), info)


def check_files(job: Job) -> None:
    """Raise `OutputError` for the first file of the outputs, or beside them, that exists, is read, or cannot be made.

    An older depfile is replaced, as Make expects; an older sidecar only with ``--force``.
    """
    options, sources = job.options, job.files_read
    for path in job.files_written:
        try:
            check_output(path, sources, options.force)
        except OutputError as error:
            raise _explain_unskipped(job, error) from error
        check_unwritten(path)
    sidecar = sidecar_path(job.targets) if options.sidecar and job.targets else None
    taken = [path.absolute() for path in job.files_written]
    for beside, force in ((sidecar, options.force), (options.depfile, True)):
        if beside is None:
            continue
        if beside.absolute() in taken:
            raise OutputError(
                "is written by this run already, expected another name", code="output.twice", file=str(beside)
            )
        check_output(beside, sources, force)
        taken.append(beside.absolute())


def _explain_unskipped(job: Job, error: OutputError) -> OutputError:
    """Return `error`; of an output that exists in spite of ``--skip-existing``, one that says why it is no reason."""
    if error.code != "output.exists" or not job.options.skip_existing:
        return error
    fault = "it is" if len(job.files_written) == 1 else "an output is missing,"
    return OutputError(
        f"exists and was not skipped: {fault} not whole, or was made from another spec, input, options or version; "
        "name another output, or replace it with --force",
        code=error.code,
        file=error.file,
    )


def _scratch_folder(job: Job) -> Path:
    if job.options.scratch is not None:
        return job.options.scratch
    if not job.targets:
        return Path()
    return folder_of(parse_volume_name(job.targets[0].name).path)


def digest_files(job: Job) -> None:
    """Read all volumes and weights for their SHA-256, unless that was done."""
    if job.digests is not None:
        return
    sources = getattr(job.source, "sources", [job.source])
    inputs = [_digest_input(path, source) for path, source in zip(job.inputs, sources, strict=True)]
    job.digests = inputs, job.loader.digests()


def _digest_input(path: Path, source: Source) -> dict[str, str]:
    """Return name and SHA-256 of a volume's file, of an HDF5 file also the dataset, since it may hold several."""
    entry = {"name": path.name, "sha256": source.digest()}
    if (dataset := dataset_of(source)) is not None:
        entry["dataset"] = dataset
    return entry


def dataset_of(source: Source) -> str | None:
    """Return the name of the HDF5 dataset that `source` reads, None in another format."""
    hdf5 = source.info.meta.get("hdf5")
    return None if hdf5 is None else str(hdf5["dataset"])


def expected_record(job: Job, target: Target, digests: bool = True) -> dict[str, Any]:
    """Return the record `target` is to carry; outputs that share a file share it.

    With `digests` false inputs and weights are left out, and no file is read.
    """
    if digests:
        digest_files(job)
    together = [other.stage for other in job.targets if other.dataset is not None]
    stages = target.stage if target.dataset is None else together
    return make_record(job.spec, job.options, stages, *(job.digests if digests and job.digests else ([], [])))

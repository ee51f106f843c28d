"""`volconv run`: run a pipeline over a volume."""

from __future__ import annotations

from typing import Any

import click

from ..command import Command
from ..console import Console
from ..options import json_option, pipeline_options, read_settings
from .plan import show_plan

EPILOG = """\b
Examples:
  volconv run gaussian scan.nii.gz -o smooth.nii.gz --set sigma=2mm
  volconv run unet.yaml t1.nii.gz flair.nii.gz -o out.nii.gz -w unet.safetensors
  volconv run edges.yaml big.h5:/raw -o edges.h5 --memory 2GB --threads 8
"""


@click.command(cls=Command, short_help="Run a pipeline over a volume.", epilog=EPILOG)
@pipeline_options(output_required=True)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, as `volconv plan` does, and stop.")
@json_option("a summary")
@click.pass_obj
def command(console: Console, /, dry_run: bool, as_json: bool, **arguments: Any) -> None:
    """Run the pipeline SPEC over INPUT and write the result to OUTPUT.

    SPEC is a file ending in .yaml, .yml or .json, or the name of a preset. Formats follow the names: .nii, .nii.gz,
    .hdr/.img, .h5, .hdf5; a dataset inside HDF5 is scan.h5:/group/raw. Several INPUTs are the channels, in order.
    """
    if dry_run:
        show_plan(console, as_json, arguments)
        return
    from volconv.api.run import run

    with console.progress() as listener:
        summary = run(on_event=listener, **read_settings(arguments))
    if summary.get("skipped"):
        console.note(f"{arguments['output']} is up to date, nothing was done")
    if as_json:
        console.print_json(summary)

"""`volconv plan`: what a run would do, without reading a voxel."""

from __future__ import annotations

from typing import Any

import click

from ..command import Command
from ..console import Console
from ..options import json_option, pipeline_options, read_settings

EPILOG = """\b
Examples:
  volconv plan gaussian scan.nii.gz --set sigma=2mm
  volconv plan unet.yaml scan.nii.gz -w unet.safetensors --memory 4GB --json
"""


@click.command(cls=Command, short_help="Say what a run would do, and stop.", epilog=EPILOG)
@pipeline_options(output_required=False)
@json_option("the plan")
@click.pass_obj
def command(console: Console, /, as_json: bool, **arguments: Any) -> None:
    """Say what `run` with the same options would do: stages, tiles, memory, scratch, a time estimate."""
    show_plan(console, as_json, arguments)


def show_plan(console: Console, as_json: bool, arguments: dict[str, Any]) -> None:
    """Plan and print."""
    from volconv.api.plan import plan

    result = plan(**read_settings(arguments))
    if as_json:
        console.print_json(result.to_json())
    else:
        console.out(str(result))

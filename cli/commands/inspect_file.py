"""`volconv inspect`: what is in a file."""

from __future__ import annotations

import click

from ..command import Command
from ..console import Console
from ..options import json_option
from ..tables import report

EPILOG = """\b
Examples:
  volconv inspect scan.nii.gz
  volconv inspect weights.safetensors --json
  volconv inspect --verify features.nii.gz
"""


@click.command("inspect", cls=Command, short_help="Show what is in a file.", epilog=EPILOG)
@click.argument("file")
@click.option("--verify", is_flag=True, help="Read an output of volconv again and compare it with its record.")
@json_option("the report")
@click.pass_obj
def command(console: Console, /, file: str, verify: bool, as_json: bool) -> None:
    """Show a volume's header and statistics, an HDF5 tree, a weights file's tensors, or a spec, whichever FILE is."""
    from volconv.api.inspect_file import inspect, name_codes

    document = inspect(file, verify=verify)
    if as_json:
        console.print_json(document)
    else:
        console.out(report(name_codes(document)))

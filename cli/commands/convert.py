"""`volconv convert`: volume format to volume format."""

from __future__ import annotations

from typing import Any

import click

from ..command import Command
from ..console import Console
from ..options import AXES, CHANNELS, DTYPE, FORCE, SPACING, json_option

EPILOG = """\b
Examples:
  volconv convert scan.nii.gz scan.h5
  volconv convert stack.h5:/raw stack.nii.gz --axes zyx --spacing 3,0.5,0.5
"""


@click.command(cls=Command, short_help="Convert a volume to another format.", epilog=EPILOG)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@AXES
@SPACING
@DTYPE
@CHANNELS
@FORCE
@json_option("a summary")
@click.pass_obj
def command(console: Console, /, source: str, target: str, as_json: bool, **arguments: Any) -> None:
    """Convert the volume IN to the format that OUT's name says, chunk by chunk.

    The stored type is kept where slope is 1 and intercept 0, else values become float32.
    """
    from volconv.api.convert import convert

    document = convert(source, target, **arguments)
    for message in document["warnings"]:
        console.note(f"note: {message}")
    if as_json:
        console.print_json(document)
    else:
        console.note(f"wrote {target}")

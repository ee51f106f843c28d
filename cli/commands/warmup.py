"""`volconv warmup`: compile the kernels ahead of time."""

from __future__ import annotations

import click

from ..command import Command
from ..console import Console
from ..options import json_option
from ..tables import report


@click.command(cls=Command, short_help="Compile the kernels ahead of time.")
@json_option("a summary")
@click.pass_obj
def command(console: Console, /, as_json: bool) -> None:
    """Compile the kernels into the cache ahead of time, as for the image of a cluster's nodes."""
    from volconv.api.warmup import warmup

    with console.progress() as listener:
        document = warmup(on_event=listener)
    if as_json:
        console.print_json(document)
    else:
        console.out(report(document))

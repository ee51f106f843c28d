"""`volconv demo`: a first run on the scan that comes with the package."""

from __future__ import annotations

import click

from ..console import Console
from ..options import json_option


@click.command(short_help="Run a preset on the shipped scan.")
@json_option("a summary")
@click.pass_obj
def command(console: Console, /, as_json: bool) -> None:
    """Run a shipped preset on the shipped scan, into ./volconv-demo/, and say how to look at the result.

    What the demo wrote there before is replaced; other files there are left alone.
    """
    from volconv.api.demo import demo

    with console.progress() as listener:
        document = demo(on_event=listener)
    if as_json:
        console.print_json(document)
    else:
        console.out("\n".join(document["text"]))
